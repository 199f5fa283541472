#!/bin/sh
# zig 0.17.1 as a C compiler refuses fifteen arguments that GNU ld takes, and the lld inside zig as well.
#
# Extension modules pass such arguments with -Wl: --exclude-libs so that a static library's symbols are not exported,
# -Bsymbolic-functions for speed, -z separate-code because a distro's flags have it. `zig cc` links with lld, reads the
# arguments itself and hands over those that it knows.
# One expects that what lld takes is taken, or that a warning says what was left out. Each of these ends in
# "unsupported linker arg" or "unsupported linker extension flag", with no output file.
#
# Wants: Linux on x86_64, python3 with venv, a package index, GNU ld for the comparison. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check ziglang==0.17.1
echo '{ other; };' >list
echo 'int one(void) { return 1; }' >one.c
tools/bin/python -m ziglang cc -fPIC -c -o one.o one.c

echo "zig $(tools/bin/python -m ziglang version); $(ld --version | head -1)"
refused=0
for argument in --exclude-libs,ALL -Bsymbolic-functions --push-state --warn-common --defsym,two=one \
  --dynamic-list,list --relax -Map,map --no-copy-dt-needed-entries \
  -z,separate-code -z,pack-relative-relocs -z,interpose -z,initfirst -z,nodlopen -z,nostart-stop-gc \
  --as-needed --gc-sections -z,now -soname,one.so; do
  words=$(tools/bin/python -m ziglang cc -shared -o zig.so one.o "-Wl,$argument" 2>&1) && zig=taken || zig=refused
  # shellcheck disable=SC2046 # one word for each comma
  ld -shared -o gnu.so one.o $(echo "$argument" | tr , ' ') 2>/dev/null && gnu=taken || gnu=refused
  # shellcheck disable=SC2046
  tools/bin/python -m ziglang ld.lld -shared -o lld.so one.o $(echo "$argument" | tr , ' ') 2>/dev/null &&
    lld=taken || lld=refused
  printf '%-30s GNU ld: %s  lld: %s  zig cc: %s  %s\n' "$argument" $gnu $lld $zig "$(echo "$words" | grep -o 'unsupported.*' || true)"
  [ $gnu$lld = takentaken ]
  [ $zig = taken ] || refused=$((refused + 1))
done
echo "expected: taken everywhere; refused by zig cc: $refused"
[ $refused = 15 ]
