#!/bin/sh
# zig 0.17.1 for a glibc before 2.16 links C++17 code that no system loads: aligned `new` is left undefined, without a word.
#
# `new` of a type with alignas(64) calls operator new(size_t, std::align_val_t) (C++17), which zig takes from its own libc++.
# That has it only where the C library has aligned_alloc, glibc 2.16 and later; its headers offer it for every target.
# One expects for x86_64-linux-gnu.2.5 an error: of the compiler, which knows the target (clang has
# -fno-aligned-allocation for such), or of the linker, which gets the whole of libc++. The link ends well, and the loader of any
# glibc refuses the result. The symbol has no version, so auditwheel 6.8.2 calls the wheel manylinux_2_5, and
# `auditwheel repair` renames it to that.
#
# Wants: Linux on x86_64, python3 with venv, nm, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
PATH=$folder/tools/bin:$PATH
python -m pip install -qq --disable-pip-version-check ziglang==0.17.1 auditwheel==6.8.2 wheel==0.48.0
cat >sample.cpp <<'CPP'
#include <cstddef>
#include <new>
struct alignas(64) Block { double values[8]; };
extern "C" void *make(std::size_t count) { return new Block[count]; }
extern "C" void drop(void *blocks) { delete[] static_cast<Block *>(blocks); }
CPP
echo "zig $(python -m ziglang version)"
for glibc in 2.5 2.17; do
  python -m ziglang c++ -target x86_64-linux-gnu.$glibc -std=c++17 -O1 -g0 -shared -fPIC sample.cpp -o sample.$glibc.so
  loaded=$(python -c "import ctypes; ctypes.CDLL('./sample.$glibc.so')" 2>&1 | tail -1)
  echo "for glibc $glibc: linked; undefined: $(nm -D sample.$glibc.so | grep -c 'U .*align_val_t' || true); ${loaded:-loads}"
done | tee words
mkdir -p sample-1.0/sample-1.0.dist-info
cp sample.2.5.so sample-1.0/sample.so
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >sample-1.0/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >sample-1.0/sample-1.0.dist-info/WHEEL
wheel pack sample-1.0 >/dev/null
auditwheel show sample-1.0-*.whl 2>/dev/null | grep -o 'manylinux_[0-9_]*x86_64' | head -1 | tee shown
echo "expected: for glibc 2.5 an error instead of a library"
grep -q 'for glibc 2.5: linked; undefined: 2; .*undefined symbol' words
grep -q 'for glibc 2.17: linked; undefined: 0; loads' words
grep -q '^manylinux_2_5_x86_64' shown
