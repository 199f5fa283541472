#!/bin/sh
# zig 0.17.1 as a C compiler does not take its own target where it reads standard input, or is asked for its version.
#
# `cc -E -` is how build systems preprocess a line or two (M2Crypto's setup.py does, for swig), and `cc -v` how they
# ask which compiler there is. With a target that names a glibc, `zig cc` hands both on to clang with the target as it was
# given, version and all, which clang does not know; a file, or `-x c` before `-`, goes well. GCC and clang take `-` with -E.
# One expects that a target that compiles a file does the same for standard input.
#
# Wants: Linux on x86_64, python3 with venv, a package index, cc for the comparison. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check ziglang==0.17.1
echo 'int one(void) { return 1; }' >one.c

# Runs a compiler with the words that follow, fed with one.c; says how it ended.
ending() {
  "$@" <one.c >said 2>&1 && echo "taken" || echo "refused: $(grep -m 1 'error:' said)"
}
zig="tools/bin/python -m ziglang cc -target x86_64-linux-gnu.2.17"
echo "zig $(tools/bin/python -m ziglang version); $(cc --version | head -1)"
refused=0
for words in "-E one.c" "-E -x c -" "-E -" "-v"; do
  # shellcheck disable=SC2086 # several words
  gnu=$(ending cc $words) found=$(ending $zig $words)
  printf '%-12s cc: %s  zig cc: %s\n' "$words" "$gnu" "$found"
  [ "$gnu" = taken ]
  case $found in *"in target triple"*"is invalid"*) refused=$((refused + 1)) ;; taken) ;; *) exit 1 ;; esac
done
echo "expected: taken everywhere; refused by zig cc: $refused"
[ $refused = 2 ]
