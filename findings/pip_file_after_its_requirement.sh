#!/bin/sh
# pip 26.3: a wheel's file serves a requirement of its project only where it stands before that requirement.
#
# To install wheels that are not on an index yet beside what requires them, one names their files. Once pip knows
# `./sample-1.0-py3-none-any.whl`, it takes that file for `sample==1.0` and asks no index.
# One expects the order of a command line's requirements not to matter for what can be resolved. With the
# requirement first pip ends with "No matching distribution found"; with the file first both are one candidate.
#
# Wants: python3 with venv, a package index (for pip itself). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir -p tree/sample-1.0.dist-info
echo 'number = 1' >tree/sample.py
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null
file=./sample-1.0-py3-none-any.whl

install() { # REQUIREMENT…: without any index, so that nothing else can serve
  pip install --dry-run --no-index --disable-pip-version-check "$@" 2>&1 |
    grep -oE 'Would install.*|No matching distribution.*' | tail -1
}
pip --version | cut -d ' ' -f 1,2
{
  echo "file, requirement: $(install "$file" 'sample==1.0')"
  echo "requirement, file: $(install 'sample==1.0' "$file")"
} >words
cat words
echo "expected: the same twice"
grep -q '^file, requirement: Would install sample-1.0' words
grep -q '^requirement, file: No matching distribution' words
