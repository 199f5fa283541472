#!/bin/sh
# sip 6.17.2 names a wheel that it builds on aarch64 manylinux_2_5_aarch64, a tag that pip and uv refuse on aarch64.
#
# A project with sip as its back end that does not set `minimum-glibc-version` gets a tag of glibc 2.5, whatever its modules
# need. For aarch64 manylinux begins at glibc 2.17 (PEP 599), and so do the tags of an aarch64 system.
# One expects a wheel that can be installed where it was built. pip 26.3 and uv 0.13.9 refuse it; the same project's wheel
# of x86_64 is taken.
#
# The platform is set by _PYTHON_HOST_PLATFORM, which is CPython's own means for builds for another one (sysconfig); the
# module is compiled for it by zig.
#
# Wants: Linux on x86_64 with glibc, python3 with venv and Python.h, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  pip==26.3 sip==6.17.2 build==1.6.1 setuptools==84.2.1 ziglang==0.17.1 uv==0.13.9 packaging==26.4
PATH=$folder/tools/bin:$PATH

mkdir project
cat >project/pyproject.toml <<'END'
[build-system]
requires = ["sip == 6.17.2"]
build-backend = "sipbuild.api"

[project]
name = "sample"
version = "1.0"

[tool.sip.bindings.sample]
END
cat >project/sample.sip <<'END'
%Module(name=sample, language="C")
%ModuleHeaderCode
#include <stdlib.h>
%End
int atoi(const char *);
END

for machine in x86_64 aarch64; do
  echo "-- $machine"
  export _PYTHON_HOST_PLATFORM=linux-$machine
  zig="$folder/tools/bin/python-zig"
  CC="$zig cc -target $machine-linux-gnu.2.17" CXX="$zig cc -target $machine-linux-gnu.2.17" \
    LINK="$zig cc -target $machine-linux-gnu.2.17" LDSHARED="$zig cc -target $machine-linux-gnu.2.17 -shared" \
    python -m build --no-isolation --wheel --outdir out project >log 2>&1 || { cat log >&2; exit 2; }
  wheel=$(cd out && echo sample-*_"$machine".whl)
  echo "$wheel" | sed 's/cp[0-9]*/cpXY/g'
  python -c 'import sys; d = open(sys.argv[1], "rb").read(20); print("machine of the module:", d[18] + 256 * d[19])' \
    "$(python -m zipfile -e "out/$wheel" "unpacked-$machine" && find "unpacked-$machine" -name '*.so')"
  python -m pip install --disable-pip-version-check --dry-run --no-deps "out/$wheel" 2>&1 | tail -1 |
    sed "s/^/pip: /; s/cp[0-9]*/cpXY/g"
  uv pip install --quiet --dry-run --no-deps --python-platform "$machine-manylinux_2_28" "out/$wheel" 2>/dev/null >&2 &&
    echo 'uv: taken' || echo 'uv: refused'
  python -c 'from packaging.tags import platform_tags as tags; print("oldest of manylinux:", [t for t in tags() if "many" in t][-1])'
done >words
echo "sip $(python -m pip list --disable-pip-version-check 2>/dev/null | awk '$1 == "sip" { print $2 }')"
cat words
echo 'expected: a wheel that is taken, twice'
grep -q '^pip: Would install sample-1.0' words
grep -q '^pip: ERROR: sample-1.0-cpXY-cpXY-manylinux_2_5_aarch64.whl is not a supported wheel' words
[ "$(grep '^uv' words | tr '\n' ' ')" = 'uv: taken uv: refused ' ]
