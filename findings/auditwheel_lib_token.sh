#!/bin/sh
# auditwheel 6.8.2 does not know $LIB in an rpath: a library that glibc's loader finds is "to be eliminated".
#
# ld.so(8) has three tokens in DT_RPATH and DT_RUNPATH: $ORIGIN, $LIB and $PLATFORM. $LIB is `lib/x86_64-linux-gnu` on
# Debian and Ubuntu, `lib64` on Red Hat's family, so that a tree with both folders serves both.
# One expects the library of such a folder to be found in the wheel, where auditwheel runs. It expands $ORIGIN alone: the
# wheel is "linux_x86_64" and its own library is missing, while the module loads.
#
# Wants: Debian or Ubuntu on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'int one(void) { return 1; }' >inner.c
echo 'extern int one(void); void *PyInit_module(void) { return one() == 1 ? (void *)0 : (void *)1; }' >module.c
link() { python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared "$@"; }
module=module.cpython-311-x86_64-linux-gnu.so
mkdir -p tree/package tree/sample.libs/lib/x86_64-linux-gnu tree/sample.libs/lib64 tree/sample-1.0.dist-info
link -o tree/sample.libs/lib64/libinner.so inner.c -Wl,-soname,libinner.so
cp tree/sample.libs/lib64/libinner.so tree/sample.libs/lib/x86_64-linux-gnu
# shellcheck disable=SC2016 # the tokens are for the loader
link -o tree/package/$module module.c tree/sample.libs/lib64/libinner.so -Wl,-rpath,'$ORIGIN/../sample.libs/$LIB'
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ldd --version 2>&1 | head -1)"
{
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' |
    grep -oE 'following *platform tag: "[^"]*"|"libinner.so": null'
  python -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1]); print("loaded")' "tree/package/$module"
} >words
cat words
echo 'expected: a manylinux tag, and no library that is missing'
printf 'following platform tag: "linux_x86_64"\n"libinner.so": null\nloaded\n' | diff words -
