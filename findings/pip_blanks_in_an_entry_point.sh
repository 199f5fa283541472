#!/bin/sh
# pip refuses an entry point with blanks around its colon, and cuts one whose name has a blank.
#
# Of a value such as `demo.cli : main` the entry points specification says that readers "must accept and ignore spaces
# (including multiple consecutive spaces) before or after the colon". Names may hold any characters but `=`, with letters,
# digits, underscores, dots and dashes recommended; `say hello` is a name. One expects two programs, `demo` and
# `say hello`, from a wheel with both, as importlib.metadata reads them. pip 26.3 with Python 3.11 or later does not install
# the first wheel (its distlib reads the value up to the blank), and makes a program ` hello` of the second, with the blank.
# installer 0.7.0 and uv 0.13.9 install both.
#
# Wants: python3 (3.11 or later) with venv, a package index. Ends with 0 while pip does so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9 wheel==0.48.0 installer==0.7.0

pack() { # version, line of entry_points.txt
  mkdir -p "demo-$1/demo" "demo-$1/demo-$1.dist-info"
  printf 'def main():\n    print("hello")\n' >"demo-$1/demo/cli.py"
  touch "demo-$1/demo/__init__.py"
  printf 'Metadata-Version: 2.1\nName: demo\nVersion: %s\n' "$1" >"demo-$1/demo-$1.dist-info/METADATA"
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
    >"demo-$1/demo-$1.dist-info/WHEEL"
  printf '[console_scripts]\n%s\n' "$2" >"demo-$1/demo-$1.dist-info/entry_points.txt"
  tools/bin/python -m wheel pack "demo-$1" >/dev/null
}
pack 1 'demo = demo.cli : main'
pack 2 'say hello = demo.cli:main'

install() { # installer, version: the programs that it made, or its refusal
  rm -rf made
  python3 -m venv made
  wheel=./demo-$2-py3-none-any.whl
  case $1 in
    pip)
      made/bin/python -m pip install -q --disable-pip-version-check pip==26.3
      made/bin/python -m pip --version | cut -d' ' -f1-2 >version
      made/bin/python -m pip install -q --disable-pip-version-check --no-index "$wheel" >said 2>&1 || true
      ;;
    uv) tools/bin/uv pip install -q --no-index --python made/bin/python "$wheel" >said 2>&1 || true ;;
    installer)
      made/bin/python -c "
import sys; sys.path.insert(0, sys.argv[1])
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile
from installer.utils import get_launcher_kind
import sysconfig
with WheelFile.open(sys.argv[2]) as source:
    install(source, SchemeDictionaryDestination(sysconfig.get_paths(), sys.executable, get_launcher_kind()), {})
" "$(echo tools/lib/python3*/site-packages)" "$wheel" >said 2>&1 || true
      ;;
  esac
  (cd made/bin && ls | grep -v -E '^(python|pip|[Aa]ctivate)' | tr '\n' ',' || true)
  grep -o 'A callable suffix is required' said || true
}

python3 --version
found=""
for version in 1 2; do
  for name in pip installer uv; do
    made=$(install "$name" "$version")
    echo "seen:     wheel $version by $name: ${made:-nothing}"
    found="$found|$made"
  done
done
cat version
tools/bin/uv --version
tools/bin/python -m pip list --disable-pip-version-check 2>/dev/null | grep '^installer'
echo "expected: demo of wheel 1, 'say hello' of wheel 2, by each of them"
[ "$found" = "|A callable suffix is required|demo,|demo,| hello,|say hello,|say hello," ]
