#!/bin/sh
# A C++ exception thrown in one shared object is not caught by its type in another, if zig linked both.
#
# One library throws std::runtime_error, another calls it and catches. By g++, `catch (const std::runtime_error &)`
# takes it. By `zig c++` it passes by, and only `catch (...)` does: zig links libc++ into each shared object by itself,
# hidden, and libc++abi compares types by their addresses. A wheel of several C++ libraries (a core and its extension
# modules) is built like this, each without a warning.
#
# Wants: python3 with venv, g++, x86_64, a package index. Ends with 0 while zig does this.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check ziglang==0.17.1
ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
export ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR

cat >thrower.cpp <<'CPP'
#include <stdexcept>
extern "C" void raise_error() { throw std::runtime_error("thrown"); }
CPP
cat >catcher.cpp <<'CPP'
#include <stdexcept>
extern "C" void raise_error();
extern "C" int caught() {
  try { raise_error(); }
  catch (const std::runtime_error &) { return 1; }
  catch (...) { return 2; }
  return 0;
}
CPP
build() {  # FOLDER COMPILER…
  place=$1; shift
  mkdir "$place"
  "$@" -O1 -fPIC -shared -o "$place/libthrower.so" thrower.cpp
  "$@" -O1 -fPIC -shared -o "$place/libcatcher.so" catcher.cpp -L"$place" -lthrower "-Wl,-rpath,\$ORIGIN"
}
build gcc g++
build zig venv/bin/python -m ziglang c++ -target x86_64-linux-gnu.2.17
ask() {
  python3 -c 'import ctypes, sys; print({1: "by type", 2: "by (...)"}[ctypes.CDLL(sys.argv[1]).caught()])' \
    "./$1/libcatcher.so"
}

g++ --version | head -n 1
echo "zig $(venv/bin/python -m ziglang version)"
gcc=$(ask gcc)
zig=$(ask zig)
echo "expected: caught by type"
echo "seen:     g++ $gcc, zig $zig"
[ "$gcc" = "by type" ] && [ "$zig" = "by (...)" ]
