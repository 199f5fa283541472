#!/bin/sh
# proxsuite 0.8.0 (a wheel of cmeel 0.60.0) cannot be imported from the folder that `pip install --target` filled.
#
# cmeel's wheels hold their packages below `cmeel.prefix/lib/pythonX.Y/site-packages`, and depend on the project cmeel,
# whose `cmeel.pth` adds that folder to sys.path. `pip install --target FOLDER` with FOLDER in PYTHONPATH is how packages
# are put beside an application (serverless functions, zipped applications, images in layers), and one expects a wheel
# that can be imported in a virtual environment to be imported from there too. Python reads .pth files in site-packages
# only, so that there is no such module; in a virtual environment the same files work.
#
# Wants: CPython 3.9 to 3.14 with venv on x86_64 or aarch64 with glibc 2.28, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check pip==26.3
tools/bin/python -m pip install -q --disable-pip-version-check proxsuite==0.8.0 cmeel==0.60.0
tools/bin/python -m pip install -q --disable-pip-version-check --target beside proxsuite==0.8.0 cmeel==0.60.0

tools/bin/python --version
tools/bin/pip --version | cut -d' ' -f1-2
tools/bin/pip list --disable-pip-version-check 2>words | grep -E '^(cmeel|proxsuite) '
tools/bin/python -c 'import proxsuite; print("virtual environment:", proxsuite.__name__, "is imported")'
python3 -m venv --without-pip empty
if words=$(PYTHONPATH=$folder/beside empty/bin/python -c 'import proxsuite' 2>&1); then
  echo "--target and PYTHONPATH: proxsuite is imported"
  exit 1
fi
echo "--target and PYTHONPATH: $(echo "$words" | tail -n 1)"
(cd beside && find . -path '*site-packages/proxsuite/__init__.py' -o -name '*.pth') | sort
echo "expected: imported both times"
echo "$words" | grep -q "No module named 'proxsuite'"
