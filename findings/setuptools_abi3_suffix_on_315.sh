#!/bin/sh
# setuptools 84.2.1 on CPython 3.15 builds a cp39-abi3 wheel whose module no CPython before 3.15 looks for.
#
# A wheel of the stable ABI is built once, by whichever Python is at hand, and cp39-abi3 says that CPython 3.9 and all later
# ones take it. CPython 3.15 looks for `.abi3-x86_64-linux-gnu.so` as well as for `.abi3.so`; the ones before it know the
# second alone (Debian's excepted, since 3.13).
# One expects the name that each Python of the tag knows. setuptools takes the longer one because of the Python that runs it:
# the build ends well, pip installs the wheel on an older CPython, and that finds no such module.
#
# Wants: python3.15 with venv on Linux with glibc, as python3 an older CPython that is not Debian's, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.15 -m venv new
new/bin/python -m pip install -qq --disable-pip-version-check setuptools==84.2.1 ziglang==0.17.1
python3 -m venv old

mkdir project
echo 'void *PyInit_sample(void) { return 0; }' >project/sample.c
cat >project/setup.py <<'END'
from setuptools import Extension, setup

setup(
    name="sample",
    version="1.0",
    ext_modules=[Extension("sample", ["sample.c"], define_macros=[("Py_LIMITED_API", "0x03090000")], py_limited_api=True)],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
END
CC="$folder/new/bin/python-zig cc" LDSHARED="$folder/new/bin/python-zig cc -shared" \
  new/bin/python -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w out ./project

look='import importlib.util as u, os, sys; s = u.find_spec("sample"); print(sys.version.split()[0], s and os.path.basename(s.origin))'
echo "setuptools $(new/bin/python -c 'import setuptools; print(setuptools.__version__)')"
basename out/*.whl
for which in old new; do
  $which/bin/python -m pip install -q --disable-pip-version-check --no-deps out/*.whl
  echo "$which: CPython $($which/bin/python -c "$look")"
done >words
cat words
echo 'expected: sample.abi3.so for both'
case $(basename out/*.whl) in sample-1.0-cp39-abi3-*) ;; *) exit 1 ;; esac
grep -q '^old: CPython 3\.\(9\|1[0-4]\)[^ ]* None$' words
grep -q '^new: CPython 3\.15[^ ]* sample\.abi3-.*-linux-gnu\.so$' words
