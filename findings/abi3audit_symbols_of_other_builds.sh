#!/bin/sh
# abi3audit 0.0.26 lets a module for Linux pass that uses symbols which only Windows' or debug builds of Python have.
#
# Some members of the stable ABI are there under a condition, which CPython's manifest writes beside them: PyErr_SetFromWindowsErr
# on Windows, _Py_NegativeRefcount where Python was compiled with Py_REF_DEBUG. abi3info, whose data abi3audit uses, has the
# condition as `ifdef`.
# One expects an audit of a wheel for linux_x86_64 to name such a symbol, as it names one that is not Python's (the invented
# PyFrame_NewSample): a release build for Linux has none of the three. Two of them pass, `--strict` and exit code 0, though
# the import ends with "undefined symbol". They come of the wrong side of an #ifdef, or of the headers of a debug Python.
#
# Wants: gcc, python3 that is a release build with venv on Linux, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check abi3audit==0.0.26 abi3info==2026.9.25 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo "abi3audit $(pip list --disable-pip-version-check 2>/dev/null | awk '/^abi3audit/ { print $2 }'), $(python --version)"
for symbol in PyErr_SetFromWindowsErr _Py_NegativeRefcount PyFrame_NewSample; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  echo "extern void *$symbol(int); void *PyInit_sample(void) { return $symbol(0); }" >sample.c
  gcc -shared -fPIC -o tree/sample.abi3.so sample.c
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp310-abi3-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  abi3audit --strict sample-*.whl >/dev/null 2>&1 && code=0 || code=$?
  echo "$symbol: abi3audit: exit code $code; import: $(cd tree && python -c 'import sample' 2>&1 | tail -1 | grep -o 'undefined symbol')"
done >words
python - <<'END_OF_PYTHON'
from abi3info import FUNCTIONS

for symbol, function in FUNCTIONS.items():
    if symbol.name in ("PyErr_SetFromWindowsErr", "_Py_NegativeRefcount"):
        print(f"abi3info of {symbol.name}: {function.ifdef.name}")
END_OF_PYTHON
cat words
echo 'expected: exit code 1 three times'
printf '%s: abi3audit: exit code %s; import: undefined symbol\n' PyErr_SetFromWindowsErr 0 _Py_NegativeRefcount 0 \
  PyFrame_NewSample 1 | diff words -
