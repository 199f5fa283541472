#!/bin/sh
# editwheel 0.3.2 edits a wheel's version or platform and keeps the file's name: uv and `wheel` refuse what it wrote.
#
# `editwheel edit mypackage.whl --version 1.0.1` and `--platform-tag manylinux_2_28_x86_64` are examples of its documentation, which says
# that "output wheels are fully compatible with pip and other Python tooling"; without -o the wheel is overwritten. The wheel
# specification has the version and the tags of the inside in the file's name.
# One expects a wheel of the new name, or a word about it. METADATA, the .dist-info folder and WHEEL are changed, and the name is not:
# uv 0.13.9 refuses the version ("does not match filename"), wheel 0.48.0 finds no RECORD, and says of the platform that
# the tags are not those of the name. pip installs both, the second by the old platform of the name.
# A compressed tag set as the platform is written into one `Tag` line, where the specification wants one line for each.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9 wheel==0.48.0 editwheel==0.3.2
PATH=$folder/tools/bin:$PATH

pack() { # FOLDER: the wheel to edit
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info "$1"
  echo 'number = 1' >tree/sample.py
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d "$1" tree >/dev/null
}
try() { # FOLDER: what the tools say of the wheel in it
  echo "$1: $(cd "$1" && echo *.whl)"
  python -m zipfile -l "$1"/*.whl | awk '/RECORD/ { print "  " $1 }'
  unzipped=$(python -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.read([n for n in z.namelist() if n.endswith("WHEEL")][0]).decode())' "$1"/*.whl)
  echo "$unzipped" | grep '^Tag' | sed 's/^/  /'
  pip install -q --disable-pip-version-check --no-index --target "$1/by-pip" "$1"/*.whl 2>/dev/null && echo '  pip: installed' || echo '  pip: refused'
  uv pip install -q --no-cache --no-index --target "$1/by-uv" "$1"/*.whl 2>log && echo '  uv: installed' ||
    echo "  uv: $(grep -o 'Wheel version does not match filename ([^)]*)' log)"
  wheel tags --build 1 "$1"/*.whl >log 2>&1 && echo '  wheel tags: done' || echo "  wheel tags: $(tail -1 log | cut -c1-90)"
}
for edit in version platform set; do pack $edit; done
editwheel edit version/*.whl --version 1.0.1 >/dev/null
editwheel edit platform/*.whl --platform-tag manylinux_2_17_x86_64 >/dev/null
editwheel edit set/*.whl --platform-tag manylinux_2_17_x86_64.manylinux2014_x86_64 \
  -o set/sample-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl >/dev/null
rm set/sample-1.0-py3-none-linux_x86_64.whl

echo "editwheel $(editwheel --version | awk '{ print $NF }')"
for edit in version platform set; do try $edit; done >words
cat words
echo 'expected: installed and done each time'
[ "$(grep -c 'pip: installed' words)" = 3 ]
grep -q 'uv: Wheel version does not match filename (1.0.1 != 1.0)' words
[ "$(grep -c 'wheel tags: AssertionError: Wheel internal tags' words)" = 2 ]
grep -q '^  wheel tags: Missing sample-1.0.dist-info/RECORD file' words
grep -q '^  Tag: py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64$' words
