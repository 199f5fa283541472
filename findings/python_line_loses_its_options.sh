#!/bin/sh
# pip 26.3, uv 0.13.9 and installer 1.1.0 drop the options of a script's `#!python -Es`; distlib 0.4.4 keeps them.
#
# The wheel specification has a script of `.data/scripts` begin with `#!python`, which an installer replaces by the
# interpreter's path. One expects what stands after that word to stay: a program written with `#!python -Es` asks for an
# interpreter that PYTHONPATH and the user's own site-packages do not reach. Three installers write a line of their own
# in place of the whole one, without a word, so that the program takes modules from PYTHONPATH; distlib's ScriptMaker,
# given the same file, keeps the options.
#
# Wants: python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check pip==26.3 uv==0.13.9 installer==1.1.0 distlib==0.4.4 \
  wheel==0.45.1
mkdir -p tree/demo-1.0.dist-info tree/demo-1.0.data/scripts packed
printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >tree/demo-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' >tree/demo-1.0.dist-info/WHEEL
printf '#!python -Es\nimport sys\nprint(sys.flags.ignore_environment, sys.flags.no_user_site)\n' \
  >tree/demo-1.0.data/scripts/demo
chmod +x tree/demo-1.0.data/scripts/demo
tools/bin/wheel pack -d packed tree >words

tools/bin/python --version
tools/bin/pip --version | cut -d' ' -f1-2
tools/bin/uv --version | cut -d' ' -f1-2
kept=
for tool in pip uv installer distlib; do
  python3 -m venv --without-pip "$tool"
  case $tool in
    pip) tools/bin/pip --python pip/bin/python install -q --disable-pip-version-check packed/*.whl ;;
    uv) tools/bin/uv pip install -q --python uv/bin/python packed/*.whl ;;
    installer) PYTHONPATH=$(echo tools/lib/python3*/site-packages) installer/bin/python -m installer packed/*.whl ;;
    distlib) tools/bin/python -c '
import sys
from distlib.scripts import ScriptMaker
maker = ScriptMaker("tree/demo-1.0.data/scripts", "distlib/bin")
maker.executable, maker.variants = sys.argv[1], {""}
maker.make("demo")' "$folder/distlib/bin/python" ;;
  esac
  line=$(head -n 1 "$tool/bin/demo")
  echo "$tool: $(echo "$line" | sed "s#$folder/##"), the program sees $("$tool/bin/demo")"
  case $line in *" -Es") kept="$kept $tool" ;; esac
done
echo "expected: each keeps -Es, and its program sees 1 1"
[ "$kept" = " distlib" ]
