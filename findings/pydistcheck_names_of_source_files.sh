#!/bin/sh
# pydistcheck 0.11.3 finds debug symbols in an extension module that was compiled without any.
#
# Debug information is what -g makes: the sections .debug_*, which can be many times a module's size. A symbol table
# (.symtab) is another thing, and has an entry of type FILE for each source. pydistcheck reads `nm -a`, and takes
# entries that plain `nm` does not list for debug symbols; the entries of type FILE are such.
# One expects a module compiled by `gcc -O2 -g0` to pass compiled-objects-have-debug-symbols. It fails, though no section
# .debug_* is there. After `strip --strip-debug`, which takes those names as well, it passes: there was no debug
# information to save space by, and the difference is a few hundred bytes.
#
# Wants: Linux, gcc, nm, readelf, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pydistcheck==0.11.3 wheel==0.48.0
echo 'int answer(void) { return 42; }' >sample.c
gcc --version | head -1
gcc -O2 -g0 -shared -fPIC sample.c -o plain.so
mkdir -p sample-1.0/sample-1.0.dist-info
cd sample-1.0
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >sample-1.0.dist-info/WHEEL
cd ..

check() {
  cp "$1" sample-1.0/sample.so
  tools/bin/wheel pack sample-1.0 >/dev/null
  echo "$1: $(stat -c %s "$1") bytes, sections .debug_*: $(readelf -SW "$1" | grep -c ' \.debug_' || true)"
  tools/bin/pydistcheck sample-1.0-*.whl >words && echo "  passes" || grep -o '\[compiled.*' words
}
tools/bin/pydistcheck --version
strip --strip-debug -o stripped.so plain.so
check plain.so >first
check stripped.so >second
cat first second
echo "expected: both pass"
grep -q 'sections .debug_\*: 0' first
grep -q 'compiled-objects-have-debug-symbols' first
grep -q passes second
