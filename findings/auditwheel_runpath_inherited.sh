#!/bin/sh
# auditwheel 6.8.2 lets a library inherit the RUNPATH of the module that loads it; glibc's loader does not, and the import fails.
#
# A wheel with libraries of its own: the module has DT_RUNPATH ($ORIGIN/../sample.libs, what linkers write by default), the
# library that it needs has none, and needs another library of that folder. ld.so(8): DT_RUNPATH counts for the direct
# needs of the file that has it, DT_RPATH for what those need as well.
# One expects auditwheel to name the inner library as one that is not found. It gives the wheel a
# manylinux tag; loading the module fails. With DT_RPATH in the module the same wheel loads, so both answers are
# right there.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'int one(void) { return 1; }' >inner.c
echo 'extern int one(void); int two(void) { return one() + 1; }' >outer.c
echo 'extern int two(void); void *PyInit_module(void) { return two() == 2 ? (void *)0 : (void *)1; }' >module.c
link() { python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared "$@"; }
module=module.cpython-311-x86_64-linux-gnu.so
mkdir -p tree/package tree/sample.libs tree/sample-1.0.dist-info
link -o tree/sample.libs/libinner.so inner.c -Wl,-soname,libinner.so
link -o tree/sample.libs/libouter.so outer.c -Wl,-soname,libouter.so tree/sample.libs/libinner.so
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ldd --version 2>&1 | head -1)"
for tags in --enable-new-dtags --disable-new-dtags; do
  # shellcheck disable=SC2016 # $ORIGIN is for the loader
  link -o tree/package/$module module.c tree/sample.libs/libouter.so -Wl,$tags -Wl,-rpath,'$ORIGIN/../sample.libs'
  wheel pack -d . tree >/dev/null
  echo "-- $tags"
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' |
    grep -oE 'following *platform tag: "[^"]*"|"libinner.so": null'
  python -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1]); print("loaded")' "tree/package/$module" 2>&1 | tail -1
done >words
cat words
echo "expected after --enable-new-dtags: auditwheel misses libinner.so, as the loader does"
[ "$(grep -c 'platform tag: "manylinux_' words)" = 2 ]
! grep -q '"libinner.so"' words
grep -A3 -e '-- --enable' words | grep -q 'OSError: libinner.so: cannot open shared object file'
tail -1 words | grep -q loaded
