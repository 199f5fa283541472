#!/bin/sh
# auditwheel 6.8.2 and packed relative relocations (DT_RELR) without a version mark: tagged for glibc 2.5.
#
# glibc reads DT_RELR since 2.36 (its NEWS); an older one leaves the pointers of such a module as they are in the file, with
# no word. GNU ld writes a need of GLIBC_ABI_DT_RELR for that reason, yet only into a module that needs libc.so.6, and an
# extension module that calls nothing but Python's API does not, where gcc links with --as-needed (Debian, Ubuntu).
# One expects auditwheel to see DT_RELR in the file, and the tag manylinux_2_36. It looks at the marks alone: the module
# that calls the C library as well is manylinux_2_36, its sister is manylinux_2_5.
#
# Wants: Debian or Ubuntu on x86_64 with gcc and binutils of 2.38 or later, python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check auditwheel==6.8.2 pyelftools==0.33 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

cat >module.c <<'END'
/* As Python's headers declare it, as far as the module needs it. */
typedef struct { void *reserved[5]; const char *name, *doc; long size; void *methods, *slots, *more[3]; } Definition;
extern void *PyModuleDef_Init(Definition *);
extern int atoi(const char *);
static void *slots[2];
static Definition definition = {.name = "module", .doc = "two pointers", .slots = slots};
void *PyInit_module(void) { return CALLS ? PyModuleDef_Init(&definition) : 0; }
END
for calls in '1' 'atoi("1")'; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  gcc -O1 -shared -fPIC "-DCALLS=$calls" -Wl,--as-needed -Wl,-z,pack-relative-relocs -o tree/module.cpython-311-x86_64-linux-gnu.so module.c
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- calls: ${calls}"
  readelf -d tree/module.cpython-311-x86_64-linux-gnu.so | grep -oE '\((RELR|NEEDED)\).*' | tr -s ' '
  echo "marks of GLIBC_ABI_DT_RELR: $(readelf -V tree/module.cpython-311-x86_64-linux-gnu.so | grep -c 'Name: GLIBC_ABI_DT_RELR' || true)"
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -o 'following *platform tag: "[^"]*"'
done >words
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'); $(ld --version | head -1)"
cat words
echo 'expected: "manylinux_2_36_x86_64" twice'
[ "$(grep -c '(RELR)' words)" = 2 ]
grep 'platform tag' words | tr '\n' ' ' | grep -q 'manylinux_2_5_x86_64.*manylinux_2_36_x86_64'
