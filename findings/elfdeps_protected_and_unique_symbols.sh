#!/bin/sh
# elfdeps 0.4.0 --symbols leaves protected and unique symbols out of what a library exports, though another library imports one.
#
# elfdeps lists for a wheel's libraries "exported and imported dynamic symbols" (its --help), so that one can see whether what one
# file imports is exported by another. By the gABI a symbol of STV_PROTECTED visibility is visible in other components, and only
# cannot be preempted; STB_GNU_UNIQUE, which g++ gives to the static variables of inline functions, is global, one in the process.
# One expects both among the exports, as nm -D and the loader have them. elfdeps takes STV_DEFAULT with STB_GLOBAL or STB_WEAK
# alone: `guarded` is an import of the one library and an export of none, and the program runs.
#
# Wants: gcc and g++ on Linux with glibc, python3 of 3.11 or later with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check elfdeps==0.4.0 pyelftools==0.33
PATH=$folder/tools/bin:$PATH

cat >first.cpp <<'END'
inline int &counter() { static int value = 0; return value; }
extern "C" int count() { return ++counter(); }
extern "C" __attribute__((visibility("protected"))) int guarded() { return 21; }
END
echo 'int guarded(void); int twice(void) { return 2 * guarded(); }' >second.c
g++ -O1 -fPIC -shared first.cpp -Wl,-soname,libfirst.so -o libfirst.so
gcc -O1 -fPIC -shared second.c -L. -lfirst -Wl,-soname,libsecond.so '-Wl,-rpath,$ORIGIN' -o libsecond.so

listed() { # FILE KEY: the symbols of our own sources that elfdeps lists under it
  elfdeps --symbols "$1" | sed -n "/^$2:/,/^[a-z_]*:\$/p" | grep -oE 'count$|guarded$|twice$|_ZZ7countervE5value$' | sort | tr '\n' ' '
}
dynamic() { # FILE LETTERS: the same of nm
  nm -D "$1" | awk -v letters="$2" 'index(letters, $(NF - 1)) { print $NF }' | grep -E '^(count|guarded|twice|_ZZ7countervE5value)$' | sort | tr '\n' ' '
}
elfdeps --symbols libfirst.so | head -3 >shape
{
  echo "elfdeps, exported by libfirst.so: $(listed libfirst.so exported_symbols)"
  echo "nm, exported by libfirst.so: $(dynamic libfirst.so Tu)"
  echo "elfdeps, imported by libsecond.so: $(listed libsecond.so imported_symbols)"
  echo "called: $(python -c 'import ctypes; print(ctypes.CDLL("./libsecond.so").twice())')"
} | sed 's/ *$//' >words
echo "elfdeps 0.4.0, $(nm --version | head -1), $(g++ --version | head -1)"
cat words
echo 'expected: the same symbols of libfirst.so twice'
diff words - <<'END'
elfdeps, exported by libfirst.so: count
nm, exported by libfirst.so: _ZZ7countervE5value count guarded
elfdeps, imported by libsecond.so: guarded
called: 42
END
