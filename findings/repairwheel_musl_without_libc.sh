#!/bin/sh
# repairwheel 0.8.0 makes a musllinux wheel of one whose library needs no libc, on a glibc machine; auditwheel says manylinux.
#
# repairwheel has auditwheel's Linux part inside it. A library without any DT_NEEDED (numeric kernels loaded by ctypes, for
# instance) does not tell which libc it is for. auditwheel 6.8.2 says "couldn't detect wheel libc, defaulting to glibc"
# and gives manylinux_2_5.
# One expects the same of repairwheel, or a question. It writes sample-1.0-py3-none-musllinux_1_2_x86_64.whl, exit code 0,
# which pip refuses on the machine that it was made on; the glibc wheel that was asked for is not written.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 \
  repairwheel==0.8.0 auditwheel==6.8.2 pyelftools==0.33 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir -p tree/sample tree/sample-1.0.dist-info
echo 'int twice(int number) { return 2 * number; }' >kernel.c
python -m ziglang cc -target x86_64-linux-gnu.2.17 -O2 -shared -nostdlib -o tree/sample/kernel.so kernel.c
echo 'import ctypes, pathlib; kernel = ctypes.CDLL(pathlib.Path(__file__).with_name("kernel.so"))' >tree/sample/__init__.py
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

echo "$(pip list 2>/dev/null | grep -E '^(auditwheel|repairwheel) ' | tr -s ' ' | tr '\n' ' ')$(ldd --version 2>&1 | head -1)"
{
  echo "auditwheel: $(auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -o 'platform tag: "[^"]*"')"
  if repairwheel -o repaired sample-*.whl >/dev/null 2>&1; then code=0; else code=$?; fi
  echo "repairwheel: exit code $code, $(ls repaired)"
  echo "pip: $(pip install --no-deps --target there repaired/*.whl 2>&1 | grep -o 'is not a supported wheel.*')"
  echo "the wheel as it was: $(PYTHONPATH=tree python -c 'import sample; print(sample.kernel.twice(21))')"
} >words
cat words
echo "expected: a manylinux wheel from both"
grep -q '^auditwheel: platform tag: "manylinux_2_5_x86_64"' words
grep -q '^repairwheel: exit code 0, sample-1.0-py3-none-musllinux_1_2_x86_64.whl$' words
grep -q '^pip: is not a supported wheel' words
