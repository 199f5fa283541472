#!/bin/sh
# abi3t-doctor 0.1.0 calls wheels for Python 2, for CPython 3.13 alone and for PyPy "compatible" with free-threaded CPython 3.15.
#
# It tells "what does this tag actually mean", and by the tags whether a list of requirements runs on a Python ("tree"). By PEP 425 a
# tag has three parts, and an installer takes a wheel where all three are on its list: py2-none-any is for Python 2, and
# cp313-none-manylinux… (programs and ctypes libraries that depend on one version) for CPython 3.13.
# One expects "version-mismatch" or "other-implementation", which it has for cp313-cp313t and pypy311_pp73. Where the ABI is
# `none` it looks at the platform and never at the Python tag. packaging's tags of CPython 3.15t have none of the three.
#
# Wants: python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check abi3t-doctor==0.1.0 packaging==26.4
PATH=$folder/tools/bin:$PATH

echo "abi3t-doctor $(abi3t-doctor --version | awk '{ print $NF }'), packaging 26.4"
for tag in py2-none-any cp313-none-manylinux_2_17_x86_64 pp311-none-any cp313-cp313t-manylinux_2_17_x86_64 py3-none-any; do
  doctor=$(abi3t-doctor tags --target 3.15t "sample-1.0-$tag.whl" | awk -v tag="$tag" '$2 == tag { print $NF }')
  python - $tag "$doctor" <<'END'
import sys

from packaging.tags import compatible_tags, cpython_tags, parse_tag

platforms = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "linux_x86_64"]
known = {
    *cpython_tags((3, 15), abis=["cp315t"], platforms=platforms),
    *compatible_tags((3, 15), interpreter="cp315", platforms=platforms),
}
print(f"{sys.argv[1]}: {sys.argv[2]}, packaging: {'no' if known.isdisjoint(parse_tag(sys.argv[1])) else 'yes'}")
END
done >words
cat words
echo 'expected: compatible for the last alone'
diff words - <<'END'
py2-none-any: compatible, packaging: no
cp313-none-manylinux_2_17_x86_64: compatible, packaging: no
pp311-none-any: compatible, packaging: no
cp313-cp313t-manylinux_2_17_x86_64: version-mismatch, packaging: no
py3-none-any: compatible, packaging: yes
END
