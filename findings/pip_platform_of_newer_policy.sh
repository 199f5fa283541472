#!/bin/sh
# pip 26.3: `download --platform manylinux_2_28_x86_64` does not take a manylinux_2_17 wheel, which each 2_28 system takes.
#
# Wheels for another machine are fetched by --platform, for instance to try a release on the distros it is for. With
# manylinux2014_x86_64 pip adds manylinux2010 and manylinux1, the older policies, as such a machine would; with
# manylinux_2_28 it adds nothing, for all that PEP 600 says that a newer glibc takes the wheels of the older ones.
# One expects MarkupSafe 3.0.2's only wheel of that Python and machine, which is manylinux_2_17 and manylinux2014. pip says
# that no version satisfies; uv 0.13.9 with --python-platform x86_64-manylinux_2_28 takes it. What helps with pip is the
# option once for each policy.
#
# Wants: Linux, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9
PATH=$folder/tools/bin:$PATH

fetch() { # PLATFORM…: what pip takes
  into=$(echo "$*" | tr ' ' +)
  # shellcheck disable=SC2046 # one option for each platform
  pip download -qq --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 -d "$into" \
    $(printf -- '--platform %s ' "$@") markupsafe==3.0.2 2>words || mkdir -p "$into"
  echo "pip, $*: $(ls "$into"; grep -o 'No matching distribution.*' words)"
}
pip --version | cut -d ' ' -f 1,2
{
  fetch manylinux2014_x86_64
  fetch manylinux_2_28_x86_64
  fetch manylinux_2_28_x86_64 manylinux_2_17_x86_64
  uv pip install -q --no-deps --only-binary :all: --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --target uv markupsafe==3.0.2 2>/dev/null
  echo "uv, x86_64-manylinux_2_28: $(grep -h ^Tag uv/*.dist-info/WHEEL | tr '\n' ' ')"
} >all
cat all
echo "expected: the same wheel four times"
[ "$(grep -c manylinux_2_17_x86_64.manylinux2014 all)" = 2 ]
grep -q '^pip, manylinux_2_28_x86_64: No matching' all
grep -q '^uv, .*Tag: cp311-cp311-manylinux_2_17_x86_64' all
