#!/bin/sh
# Build a root of musl inside a Debian root that has a compiler: libraries, CPython, BusyBox, little else.
# Arguments: the root, then a Python such as 3.13. The sources lie in /musl-build (musl_sources.sh); the
# result is /musl-root, with nothing of glibc but what BusyBox, a static program, has inside.
set -eu
if [ "$1" != --inside ]; then
    root=$1 script=$(sha256sum "$0" | cut -c 1-12)
    shift
    cp "$0" "$root/musl-build/build.sh"
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
        sh /musl-build/build.sh --inside "$script" "$@"
fi
script=$2 python=$3
work=/musl-build root=/musl-root deps=/musl-build/deps
arch=$(uname -m)
gnu=$(gcc -print-multiarch)
musl=$(echo "$gnu" | sed 's/gnu/musl/')
mkdir -p "$deps/include" "$deps/lib" "$work/bin" "$root"

# Debian's compiler, aimed at musl. CPython compares its own idea of the platform with this answer.
cat > "$work/bin/cc" <<END
#!/bin/sh
[ "\$*" = --print-multiarch ] && exec echo $musl
exec musl-gcc "\$@"
END
chmod +x "$work/bin/cc"
# musl-gcc sees musl's headers alone; those of the kernel are the same for every C library.
for name in linux asm-generic mtd; do ln -sfn "/usr/include/$name" "/usr/include/$musl/$name"; done
ln -sfn "/usr/include/$gnu/asm" "/usr/include/$musl/asm"
export CC="$work/bin/cc" AR=ar RANLIB=ranlib PKG_CONFIG=/bin/false MAKEFLAGS="-j$(nproc)"
export CFLAGS="-O2 -fPIC -I$deps/include" LDFLAGS="-L$deps/lib"

source_of() {
    echo "I: building $1 for musl"
    cd "$work/$1"
}
autoconf_library() {
    source_of "$1"
    shift
    [ -e configure ] || autoreconf --install
    ./configure --host="$musl" --prefix="$deps" --disable-shared --enable-static "$@"
    make install
}

source_of zlib
./configure --prefix="$deps"
make install
# The one library that musllinux policies let come from the system. CPython has its own copy inside.
mkdir -p "$root/usr/lib"
mv "$deps"/lib/libz.so* "$root/usr/lib"

source_of bzip2
make CC="$CC" CFLAGS="$CFLAGS -D_FILE_OFFSET_BITS=64" libbz2.a
cp bzlib.h "$deps/include"
cp libbz2.a "$deps/lib"

autoconf_library xz-utils --disable-xz --disable-xzdec --disable-lzmadec --disable-lzmainfo \
    --disable-scripts --disable-doc --disable-nls
autoconf_library libffi --disable-docs --disable-multi-os-directory

source_of sqlite3
./configure --host="$musl" --disable-shared --disable-tcl --disable-readline
make sqlite3.c
"$CC" $CFLAGS -DSQLITE_ENABLE_FTS5 -c sqlite3.c
ar rcs "$deps/lib/libsqlite3.a" sqlite3.o
cp sqlite3.h "$deps/include"

source_of openssl
# Without what CPython's ssl and hashlib do not ask for: half of the work.
without="shared tests apps docs engine dso legacy quic aria camellia cast cmp cms ct dsa ec2m gost idea md4
    mdc2 ml-dsa ml-kem slh-dsa rc2 rc4 rmd160 seed siphash sm2 sm3 sm4 srp ts whirlpool dtls comp"
./Configure "linux-$arch" --prefix="$deps" --libdir=lib --openssldir=/etc/ssl $(printf 'no-%s ' $without)
make build_libs
cp -r include/openssl "$deps/include"
cp libssl.a libcrypto.a "$deps/lib"

source_of "python$python"
LIBFFI_CFLAGS="-I$deps/include" LIBFFI_LIBS="-lffi" LIBSQLITE3_CFLAGS="-I$deps/include" \
    LIBSQLITE3_LIBS="-lsqlite3" BZIP2_LIBS="-lbz2" LIBLZMA_LIBS="-llzma" ZLIB_LIBS="-lz" \
    ./configure --prefix=/usr --with-openssl="$deps" --disable-test-modules --without-static-libpython \
    OPT="-DNDEBUG"
make
# `true` in place of Python, which would compile all modules three times; once is done below.
make altinstall DESTDIR="$root" PYTHON_FOR_BUILD=true
./python -m ensurepip --altinstall --root="$root"
library=$root/usr/lib/python$python
rm -rf "$library"/config-* "$library/idlelib" "$library/tkinter" "$library/turtledemo" "$library/turtle.py" \
    "$library/test" "$library/pydoc_data" "$root/usr/share"
strip "$root/usr/bin/python$python" "$library"/lib-dynload/*.so
./python -m compileall -q -s "$root" -p / "$library"
full=$(./python -c 'import platform; print(platform.python_version())')
ln -s "python$python" "$root/usr/bin/python3"

echo "I: laying the root out"
cd "$root"
mkdir -p bin lib sbin etc/ssl/certs proc sys dev run tmp var/tmp var/lib/dpkg root home usr/local/lib \
    usr/local/bin usr/sbin
chmod 1777 tmp var/tmp
# As Alpine has them: the C library and its loader are one file, with the name that wheels ask for.
cp "$(readlink -f "/lib/ld-musl-$arch.so.1")" "lib/ld-musl-$arch.so.1"
ln -s "ld-musl-$arch.so.1" "lib/libc.musl-$arch.so.1"
cp /bin/busybox bin/busybox
for applet in $(bin/busybox --list-full); do [ -e "$applet" ] || ln -s /bin/busybox "$applet"; done
cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/
ln -s certs/ca-certificates.crt etc/ssl/cert.pem
echo root:x:0:0:root:/root:/bin/sh > etc/passwd
echo nobody:x:65534:65534:nobody:/:/bin/false >> etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > etc/group
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n' > etc/hosts
: > etc/resolv.conf
: > etc/hostname
version=$(dpkg-query --show --showformat '${Version}' musl)
printf 'ID=musl\nNAME=musl\nVERSION_ID=%s\nPRETTY_NAME="musl %s, CPython %s from source"\n' \
    "${version%-*}" "${version%-*}" "$full" > etc/os-release
# What the root consists of, in the form of dpkg: its digest is over this list.
{
    cat "$work/versions"
    for name in musl busybox-static ca-certificates gcc; do
        dpkg-query --show --showformat '${Package} ${Version}\n' "$name"
    done
    echo "musl-build $script"
} | while read -r name number; do
    printf 'Package: %s\nStatus: install ok installed\nVersion: %s\n\n' "$name" "$number"
done > var/lib/dpkg/status
