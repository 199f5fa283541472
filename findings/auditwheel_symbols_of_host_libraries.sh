#!/bin/sh
# auditwheel lists symbols that a library of the machine wants as symbols that the wheel references.
#
# A wheel's library needs libnear.so.1, which is not in the wheel; on the machine where auditwheel runs, libnear.so.1
# needs a symbol of version DEEP_7 from libdeep.so.1. No file of the wheel names DEEP_7 or libdeep.so.1, yet
# `auditwheel show` says that the wheel references libdeep.so.1 with versions {'DEEP_7'}. On a machine that lacks
# libnear.so.1 it does not: the answer about one and the same wheel changes with the machine. So a wheel that asks
# for a library of the desktop is told to reference the glibc of the machine on which it is looked at.
#
# Wants: python3 with venv, cc, readelf, a package index. Ends with 0 while auditwheel does this.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check auditwheel==6.8.2 wheel==0.48.0
PATH="$folder/venv/bin:$PATH"
export PATH

arch=$(uname -m)
mkdir -p machine demo-1.0/demo demo-1.0/demo-1.0.dist-info
printf 'DEEP_7 { global: deep; local: *; };\n' >deep.map
printf 'int deep(void) { return 7; }\n' >deep.c
printf 'int deep(void); int near(void) { return deep(); }\n' >near.c
printf 'int near(void); int answer(void) { return near(); }\n' >answer.c
cc -shared -fPIC -Wl,-soname,libdeep.so.1 -Wl,--version-script=deep.map -o machine/libdeep.so.1 deep.c
cc -shared -fPIC -Wl,-soname,libnear.so.1 -o machine/libnear.so.1 near.c machine/libdeep.so.1
cc -shared -fPIC -o demo-1.0/demo/libanswer.so answer.c machine/libnear.so.1
: >demo-1.0/demo/__init__.py
printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >demo-1.0/demo-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_%s\n' "$arch" \
  >demo-1.0/demo-1.0.dist-info/WHEEL
python -m wheel pack demo-1.0 >/dev/null
wheel="demo-1.0-py3-none-linux_$arch.whl"

python --version
auditwheel --version
auditwheel show "$wheel" >without 2>&1
LD_LIBRARY_PATH="$folder/machine" auditwheel show "$wheel" >with 2>&1
named=$(readelf -dVW demo-1.0/demo/libanswer.so | grep -c -e DEEP_7 -e libdeep || :)
echo "the wheel's own library names DEEP_7 or libdeep.so.1: $named times"
echo "expected: show says nothing of libdeep.so.1, with libnear.so.1 on the machine or without"
echo "seen without: $(grep -c DEEP_7 without || :) lines with DEEP_7"
echo "seen with:    $(tr '\n' ' ' <with | grep -o "libdeep.so.1 with versions {'DEEP_7'}" || echo nothing)"
[ "$named" = 0 ]
if grep -q DEEP_7 without; then exit 1; fi
tr '\n' ' ' <with | grep -q "libdeep.so.1 with versions {'DEEP_7'}"
