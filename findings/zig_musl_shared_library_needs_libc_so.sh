#!/bin/sh
# zig 0.17.1 for x86_64-linux-musl: a shared library needs `libc.so`, which is not what musl's distributions call it.
#
# Alpine's musl is libc.musl-x86_64.so.1, and the modules of musllinux wheels that were built there name that.
# One expects `zig cc -target x86_64-linux-musl -dynamic -shared` to need the loader's own name or Alpine's. It needs
# libc.so: musl's loader takes that for itself, other tools do not (auditwheel 6.8.2 lists it as a library to be
# eliminated, or reads what a host has by that name).
#
# Wants: Linux on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check ziglang==0.17.1 pyelftools==0.33
echo '#include <stdlib.h>
int number(const char *text) { return atoi(text); }' >number.c
tools/bin/python -m ziglang cc -target x86_64-linux-musl -dynamic -shared -o number.so number.c
echo "zig $(tools/bin/python -m ziglang version)"
tools/bin/python - <<'END' >words
from elftools.elf.elffile import ELFFile

with open("number.so", "rb") as file:
    dynamic = ELFFile(file).get_section_by_name(".dynamic")
    print("needs:", *(tag.needed for tag in dynamic.iter_tags("DT_NEEDED")))
END
cat words
echo "expected: needs: libc.musl-x86_64.so.1"
[ "$(cat words)" = "needs: libc.so" ]
