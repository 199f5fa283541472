#!/bin/sh
# pip installs a wheel's script without the executable bit, uv with it.
#
# A wheel's NAME.data/scripts holds programs. Where the archive has no Unix permissions of theirs, as when it was made on
# Windows, an installer "may need to add the +x bit" (the binary distribution format). One expects programs that start,
# by any installer. pip rewrites `#!python` and leaves mode 0644, so that neither program starts; uv makes both 0755.
#
# Wants: python3 with venv, a package index. Ends with 0 while the two differ so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
umask 022
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9 wheel==0.48.0

mkdir -p demo-1.0/demo-1.0.data/scripts demo-1.0/demo-1.0.dist-info
printf '#!/bin/sh\necho hello\n' >demo-1.0/demo-1.0.data/scripts/demo-sh
printf '#!python\nprint("hello")\n' >demo-1.0/demo-1.0.data/scripts/demo-py
chmod 644 demo-1.0/demo-1.0.data/scripts/*
printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >demo-1.0/demo-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
  >demo-1.0/demo-1.0.dist-info/WHEEL
tools/bin/python -m wheel pack demo-1.0 >/dev/null

python3 -m venv by-pip
by-pip/bin/python -m pip install -q --disable-pip-version-check pip==26.3
python3 -m venv by-uv
by-pip/bin/python -m pip install -q --disable-pip-version-check --no-index ./demo-1.0-py3-none-any.whl
tools/bin/uv pip install -q --no-index --python by-uv/bin/python ./demo-1.0-py3-none-any.whl

python3 --version
by-pip/bin/python -m pip --version | cut -d' ' -f1-2
tools/bin/uv --version
echo "expected: demo-sh and demo-py start, whoever installed them"
seen=""
for name in pip uv; do
  for program in demo-sh demo-py; do
    code=0
    "by-$name/bin/$program" >/dev/null 2>&1 || code=$?
    echo "seen:     $program by $name: mode $(stat -c %a "by-$name/bin/$program"), exit code $code"
    seen="$seen $code"
  done
done
[ "$seen" = " 126 126 0 0" ]
