#!/bin/sh
# auditwheel 6.8.2 and a wheel with debug information in a separate file: `show` and `repair` end in a traceback.
#
# `objcopy --only-keep-debug` puts a module's debug information into a file of its own, which gdb finds by `.gnu_debuglink`
# and no loader opens. By its header that file is an ELF shared object; its table of sections is the module's, where all but
# the debug information and notes has no contents (type NOBITS).
# One expects auditwheel to leave such a file alone, or to take it for one without needs: the same module without it is
# "manylinux_2_5_x86_64". auditwheel looks for .gnu.version_r by name, gets a section that has no contents, and ends in an
# AttributeError that names neither the file nor the wheel. repairwheel 0.8.0 does the same.
#
# Wants: gcc and objcopy on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 repairwheel==0.8.0 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'extern int atoi(const char *); void *PyInit_module(void) { return atoi("0") ? (void *)1 : 0; }' >module.c
module=tree/module.cpython-311-x86_64-linux-gnu.so
mkdir -p tree/sample-1.0.dist-info
gcc -g -shared -fPIC -o $module module.c
objcopy --only-keep-debug $module kept.debug
objcopy --strip-debug $module
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL

ask() { # the tag, or the last line of what is said; and the exit code
  if "$@" >words 2>&1; then code=0; else code=$?; fi
  if ! tr '\n' ' ' <words | grep -oE 'following *platform tag: "[^"]*"'; then tail -1 words; fi
  echo "exit code $code"
}

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(objcopy --version | head -1)"
for extra in nothing kept.debug; do
  echo "-- next to the module: $extra"
  if [ $extra = kept.debug ]; then
    cp kept.debug $module.debug
    objcopy "--add-gnu-debuglink=$module.debug" $module
  fi
  wheel pack -d . tree >/dev/null
  ask auditwheel show sample-*.whl
done >told
ask auditwheel repair sample-*.whl >repaired
ask repairwheel -o out sample-*.whl >repaired_too
cat told
echo '-- auditwheel repair, repairwheel'
cat repaired repaired_too
echo 'expected: "manylinux_2_5_x86_64" with and without it'
fault="AttributeError: 'Section' object has no attribute 'iter_versions'"
printf '%s\n' '-- next to the module: nothing' 'following platform tag: "manylinux_2_5_x86_64"' 'exit code 0' \
  '-- next to the module: kept.debug' "$fault" 'exit code 1' | diff told -
printf '%s\n' "$fault" 'exit code 1' | diff repaired -
diff repaired repaired_too
