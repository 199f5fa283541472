#!/bin/sh
# pdm-backend 2.5.0 builds cp311-cp39-linux_x86_64 where its documentation promises an abi3 wheel; no Python takes that name.
#
# Its page "Build Configuration" lists what --config-setting takes: `--py-limited-api=<abi>` is the "Python tag
# (cp32|cp33|cpNN) for abi3 wheel tag", the words of setuptools' bdist_wheel, which makes cp39-abi3 of cp39.
# One expects cp39-abi3-linux_x86_64. The value becomes the ABI tag, and the Python tag stays that of the running interpreter:
# cp311-cp39. By the platform compatibility tags of any CPython that pair never occurs, so pip and uv refuse the wheel, and so
# does the Python that built it. The build ends with 0. The module inside is `_native.abi3.so`, as it should be.
#
# Wants: gcc, Python's headers, python3 other than 3.9 with venv on Linux, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9 pdm-backend==2.5.0 setuptools==84.2.1
PATH=$folder/tools/bin:$PATH

mkdir -p project/sample
cd project
touch sample/__init__.py
echo 'void *PyInit__native(void) { return (void *)0; }' >native.c
cat >hook.py <<'END'
from setuptools import Extension


def pdm_build_update_setup_kwargs(context, kwargs):
    limited = [("Py_LIMITED_API", "0x03090000")]
    kwargs["ext_modules"] = [Extension("sample._native", ["native.c"], define_macros=limited, py_limited_api=True)]
END
cat >pyproject.toml <<'END'
[build-system]
requires = ["pdm-backend == 2.5.0", "setuptools == 84.2.1"]
build-backend = "pdm.backend"

[project]
name = "sample"
version = "1.0"

[tool.pdm.build]
custom-hook = "hook.py"
run-setuptools = true
END
python -m pip wheel -qq --disable-pip-version-check --no-build-isolation --no-deps -w out . -C--py-limited-api=cp39 >log 2>&1 ||
  { cat log >&2; exit 2; }
wheel=$(basename out/*.whl)
{
  echo "pdm-backend: $wheel" | sed 's/-cp3[0-9]*-cp39/-cpXY-cp39/'
  python -m zipfile -l "out/$wheel" | awk '/\.so/ { print "in it: " $1 }'
  pip install --disable-pip-version-check --dry-run --no-deps --target there "out/$wheel" 2>&1 |
    grep -o 'is not a supported wheel.*\|Would install.*' | sed 's/^/pip: /'
  uv pip install -q --dry-run --no-deps --target there "out/$wheel" >/dev/null 2>&1 && echo 'uv: taken' || echo 'uv: refused'
} >words
echo "pdm-backend $(python -c 'import importlib.metadata as m; print(m.version("pdm-backend"))'), $(python --version)"
cat words
echo 'expected: sample-1.0-cp39-abi3-linux_x86_64.whl, taken by both'
grep -q '^pdm-backend: sample-1.0-cpXY-cp39-linux_' words
grep -q '^in it: sample/_native.abi3.so$' words
grep -q '^pip: is not a supported wheel' words
grep -q '^uv: refused$' words
