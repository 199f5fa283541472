#!/bin/sh
# auditwheel 6.8.2 and a musllinux wheel whose modules name musl `libc.so`: refused, or a traceback on a host that compiles.
#
# Where musl's library has no soname (Debian's musl 1.2.5), a linker writes its file's name, `libc.so`, and not Alpine's
# `libc.musl-x86_64.so.1`; musl's loader takes both for itself. pydantic_core 2.50.5 has such a wheel on the index.
# One expects auditwheel to count `libc.so` in a musllinux wheel as the C library. Where no folder of the search path has
# a file of that name, it lists `libc.so` as a library to be eliminated. Where the host's glibc has its development files,
# it finds their `libc.so`, which is a text, a script for the linker, and ends in a traceback of pyelftools.
#
# Wants: python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -q --disable-pip-version-check auditwheel==6.8.2 pyelftools==0.33
PATH=$folder/tools/bin:$PATH
pip download -q --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.13 \
  --platform musllinux_1_1_x86_64 pydantic_core==2.50.5
wheel=$(echo pydantic_core-*.whl)

mkdir plain development
# As the development files of glibc have it, paths aside.
printf '/* GNU ld script */\nGROUP ( /lib64/libc.so.6 /usr/lib64/libc_nonshared.a )\n' >development/libc.so

python --version
auditwheel --version | tr '\n' ' '; echo
echo "wheel: $wheel"
for place in plain development; do
  echo "-- library folder: $place, with $(ls $place | wc -l) files"
  if auditwheel show --ldpaths "$folder/$place" "$wheel" >words 2>&1; then echo "exit code 0"; else echo "exit code $?"; fi
  grep -E 'platform tag: "|^ *"libc.so": null|^libc.so$|^elftools.*Error' words || true
  mv words "words.$place"
done
echo "expected: twice the tag musllinux_1_1 or better, and no word of libc.so"
grep -q '^libc.so$' words.plain
grep -q '^elftools.common.exceptions.ELFError' words.development
