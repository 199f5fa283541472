#!/bin/sh
# auditwheel-symbols 0.1.13 calls the grafted libraries of a repaired wheel forbidden.
#
# auditwheel-symbols tells which symbols keep a wheel from a manylinux policy, which `auditwheel show` does by library only.
# A wheel may bring the libraries that it needs: `auditwheel repair` puts them into NAME.libs and points the modules there.
# One expects the wheel of pyzmq 27.1.0, whose libzmq and libsodium are in pyzmq.libs, to be what its name says, by both
# tools. auditwheel 6.8.2 agrees with the name; auditwheel-symbols says of the same files that they link forbidden libraries,
# and names the two that are in the wheel. The reason to use it is a wheel that needs libraries; for those it cannot say yes.
#
# Wants: Linux on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check auditwheel==6.8.2 auditwheel-symbols==0.1.13
tools/bin/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
  --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_26_x86_64 pyzmq==27.1.0

echo ./*.whl
tools/bin/auditwheel show ./*.whl >shown
tr '\n' ' ' <shown
echo
tools/bin/auditwheel-symbols --manylinux 2_28 ./*.whl >words 2>&1 || true
cat words
echo "expected: no word of libraries that are in pyzmq.libs"
grep -q 'manylinux_2_2[68]_x86_64' shown
grep -q 'not manylinux_2_28 compliant because it links the following forbidden libraries' words
grep -q '^libzmq-.*so' words
