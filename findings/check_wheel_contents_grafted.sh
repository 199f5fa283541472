#!/bin/sh
# check-wheel-contents 0.6.3 fails each wheel whose libraries auditwheel grafted: W009 and W010 about NAME.libs.
#
# auditwheel puts the libraries of a wheel into NAME.libs beside the packages, since many years and in all projects that
# need any. check-wheel-contents takes that folder for a package that was left without modules.
# One expects a repaired wheel, psycopg2-binary 2.9.11, to pass, as its pure sisters do. It has two complaints, exit code 1;
# before the repair neither would be there, so that a check in CI passes or not by where it stands.
#
# Wants: Linux on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check check-wheel-contents==0.6.3
tools/bin/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
  --python-version 3.11 --platform manylinux2014_x86_64 psycopg2-binary==2.9.11

tools/bin/check-wheel-contents --version
if tools/bin/check-wheel-contents ./*.whl >words; then code=0; else code=$?; fi
cat words
echo "exit code $code; expected: 0, and no word of psycopg2_binary.libs"
[ $code = 1 ]
grep -q 'W009' words
grep -A1 'W010' words | grep -q 'psycopg2_binary.libs/'
