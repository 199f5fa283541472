#!/bin/sh
# auditwheel 6.8.2 and an .abi3.so that needs no library: `show` and `repair` end in a traceback, InvalidLibcError.
#
# A small extension module may call nothing but Python's API; linked with --as-needed (gcc of Debian and Ubuntu does so by
# itself) it has no DT_NEEDED at all. auditwheel learns the libc from the files' needs or from a name such as
# .cpython-312-x86_64-linux-gnu.so; `.abi3.so` says nothing of it.
# One expects what the same module with CPython's suffix gets: "manylinux_2_5_x86_64"; a wheel of nothing but libraries
# that need no libc is taken for glibc too ("couldn't detect wheel libc, defaulting to glibc").
#
# Wants: Linux on x86_64, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

cat >module.c <<'END'
/* As Python's headers declare it, as far as the module needs it. */
typedef struct { void *reserved[5]; const char *name, *doc; long size; void *methods, *slots, *more[3]; } Definition;
extern void *PyModuleDef_Init(Definition *);
static void *slots[1];
static Definition definition = {.name = "sample", .slots = slots};
void *PyInit_sample(void) { return PyModuleDef_Init(&definition); }
END
show() { # TAG FILE: what auditwheel says of a wheel of this file
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  tag=$1
  cp "$2" tree
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: %s\n' "$tag" \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "$2: $(auditwheel show "sample-1.0-$tag.whl" 2>&1 | tr '\n' ' ' |
    grep -oE '(following|tag) *platform tag: "[^"]*"|auditwheel.error.*' | tr -s ' ')"
}
python -m ziglang cc -target x86_64-linux-gnu.2.17 -O1 -shared -nostdlib -Wl,--allow-shlib-undefined \
  -o sample.abi3.so module.c
cp sample.abi3.so sample.cpython-312-x86_64-linux-gnu.so
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }')"
{
  show cp312-abi3-linux_x86_64 sample.abi3.so
  show cp312-cp312-linux_x86_64 sample.cpython-312-x86_64-linux-gnu.so
} >words
cat words
echo "expected: a tag twice"
grep -q '^sample.abi3.so: .*InvalidLibcError' words
[ "$(grep -c 'platform tag' words)" = 1 ]
