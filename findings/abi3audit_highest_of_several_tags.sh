#!/bin/sh
# abi3audit 0.0.26 audits a cp311.cp39-abi3 wheel as one for CPython 3.11 only.
#
# A name may carry several Python tags (the "compressed tag sets" of the platform compatibility specification): cp311.cp39-abi3
# is for whoever takes cp39-abi3 or cp311-abi3, and the first means CPython 3.9 and later.
# One expects the audit to hold the module to the oldest Python that installs it. abi3audit takes the highest of the tags:
# PyBuffer_IsContiguous, in the stable ABI since 3.11, passes with --strict, exit code 0. Under cp39-abi3 the same module has
# a mismatch, exit code 1. packaging's tags of CPython 3.9, by which pip installs, take both wheels.
#
# Wants: gcc, python3 with venv on Linux on x86_64, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  abi3audit==0.0.26 abi3info==2026.9.25 packaging==26.4 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'extern int PyBuffer_IsContiguous(void *, char);
void *PyInit_sample(void) { return PyBuffer_IsContiguous((void *)0, 67) ? (void *)0 : (void *)1; }' >sample.c
echo "abi3audit $(pip list --disable-pip-version-check 2>/dev/null | awk '/^abi3audit/ { print $2 }'), packaging 26.4"
for pythons in cp39 cp311.cp39; do
  rm -rf tree ./*.whl && mkdir -p tree/sample-1.0.dist-info
  gcc -shared -fPIC -o tree/sample.abi3.so sample.c
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\n' >tree/sample-1.0.dist-info/WHEEL
  for python in $(echo $pythons | tr . ' '); do
    echo "Tag: $python-abi3-linux_x86_64" >>tree/sample-1.0.dist-info/WHEEL
  done
  wheel pack -d . tree >/dev/null
  wheel=$(echo sample-*.whl)
  abi3audit --strict --report "$wheel" >report 2>/dev/null && code=0 || code=$?
  echo "$wheel: exit code $code, $(grep -oE '"baseline": "[0-9.]*"' report)"
  python - "$wheel" <<'END_OF_PYTHON'
import sys

from packaging.tags import cpython_tags
from packaging.utils import parse_wheel_filename

known = set(cpython_tags((3, 9), platforms=["linux_x86_64"]))
print("taken by CPython 3.9:", "no" if known.isdisjoint(parse_wheel_filename(sys.argv[1])[3]) else "yes")
END_OF_PYTHON
done >words
cat words
echo 'expected: the same twice'
printf '%s\n' 'sample-1.0-cp39-abi3-linux_x86_64.whl: exit code 1, "baseline": "3.9"' 'taken by CPython 3.9: yes' \
  'sample-1.0-cp311.cp39-abi3-linux_x86_64.whl: exit code 0, "baseline": "3.11"' 'taken by CPython 3.9: yes' | diff words -
