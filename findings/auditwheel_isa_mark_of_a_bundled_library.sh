#!/bin/sh
# auditwheel 6.8.2 finds the mark of x86-64-v3 in a module, and not in the wheel's library that the module needs.
#
# `ld -z x86-64-v3` writes into a file that it needs a processor of that level (GNU_PROPERTY_X86_ISA_1_NEEDED of the x86-64
# psABI). glibc's loader refuses such a file on an older processor, be it a module or a library. auditwheel checks the mark
# (--disable-isa-ext-check turns that off), since a manylinux tag is for any x86_64.
# One expects the same answer wherever in the wheel the mark is. A module with it is linux_x86_64. A library of sample.libs
# with it, found by $ORIGIN, is passed over where another file of the wheel needs it by name: manylinux_2_5. The same
# library without the module is linux_x86_64.
#
# Wants: gcc and binutils of 2.36 or later on x86_64 with glibc, python3 with venv, a package index. Nothing is loaded.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check auditwheel==6.8.2 pyelftools==0.33 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'int number(void) { return 1; }' >library.c
echo 'extern int number(void); void *PyInit_sample(void) { return number() ? (void *)0 : (void *)1; }' >module.c
module=sample.cpython-311-x86_64-linux-gnu.so
# shellcheck disable=SC2016 # $ORIGIN is for the loader
link() { gcc -O1 -shared -fPIC -Wl,-rpath,'$ORIGIN/sample.libs' -o "$@"; }
show() { # WORDS FILE…: what auditwheel says of a wheel of these files
  rm -rf tree && mkdir -p tree/sample.libs tree/sample-1.0.dist-info
  words=$1
  shift
  for file in "$@"; do cp "$file" "tree/$(case $file in */lib*) echo sample.libs ;; esac)"; done
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "$words: $(auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -oE 'tag: "[^"]*"|unsupported ISA extensions' |
    tr '\n' ' ')"
}
mkdir plain marked
link plain/libnumber.so.1 library.c -Wl,-soname,libnumber.so.1
link plain/$module module.c plain/libnumber.so.1
link marked/libnumber.so.1 library.c -Wl,-soname,libnumber.so.1 -Wl,-z,x86-64-v3
link marked/$module module.c plain/libnumber.so.1 -Wl,-z,x86-64-v3
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ld --version | head -1)"
readelf -n marked/libnumber.so.1 | grep -o 'x86 ISA needed: .*'
{
  show 'the module has the mark' marked/$module plain/libnumber.so.1
  show 'its library has the mark' plain/$module marked/libnumber.so.1
  show 'that library alone' marked/libnumber.so.1
} >words
cat words
echo 'expected: three times linux_x86_64'
printf '%s\n' 'the module has the mark: tag: "linux_x86_64" unsupported ISA extensions ' \
  'its library has the mark: tag: "manylinux_2_5_x86_64" ' \
  'that library alone: tag: "linux_x86_64" unsupported ISA extensions ' | diff words -
