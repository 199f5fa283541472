#!/bin/sh
# Build a root of musl inside a Debian root that has a compiler: libraries, CPython, BusyBox, little else.
# Arguments: the root, then a Python such as 3.13. What to build from is named in /musl-build
# (musl_sources.sh), how in musl_build.mk; the result is /musl-root, with nothing of glibc but what BusyBox,
# a static program, has inside. The libraries are kept for the next Python, by what they were made from.
set -eu
if [ "$1" != --inside ]; then
    root=$1 python=$2 hooks=$(dirname "$0") work=$1/musl-build
    cp "$0" "$work/build.sh"
    cp "$hooks/musl_build.mk" "$work/build.mk"
    cp "$hooks/musl_training.py" "$work/training.py"
    cp "$hooks/musl_allocator.c" "$work/allocator.c"
    script=$(cat "$work/build.sh" "$work/build.mk" "$work/training.py" "$work/allocator.c" | sha256sum | cut -c 1-12)
    made_from=$(
        grep -v '^python' "$work/versions"
        dpkg-query --admindir="$root/var/lib/dpkg" --show binutils gcc linux-libc-dev musl-dev
        sha256sum < "$work/build.mk"
    )
    kept=$PM_APT_CACHE/musl/$(printf %s "$made_from" | sha256sum | cut -c 1-32).tar
    mkdir -p "$work/deps" "$PM_APT_CACHE/musl"
    wanted=.
    if [ -e "$kept" ]; then
        tar --extract --no-same-owner --directory "$work/deps" --file "$kept"
        wanted=^python
    fi
    grep "$wanted" "$work/archives" | while read -r name archive; do
        mkdir "$work/$name"
        echo "--directory=$work/$name --file=$archive"
    done | xargs -L 1 -P "$(nproc)" tar --extract --no-same-owner --strip-components=1
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
        sh /musl-build/build.sh --inside "$script" "$python"
    if [ ! -e "$kept" ]; then
        rm -f "$PM_APT_CACHE"/musl/*
        tar --create --directory "$work/deps" --file "$kept.part" .
        mv "$kept.part" "$kept"
    fi
    exit
fi
script=$2 python=$3
work=/musl-build root=/musl-root deps=/musl-build/deps machine=$(uname -m)
mkdir -p "$deps/include" "$deps/lib" "$deps/built" "$work/bin" "$root/usr/lib"

# Debian's compiler, aimed at musl. CPython compares its own idea of the platform with the first answer.
cat > "$work/bin/cc" <<END
#!/bin/sh
[ "\$*" = --print-multiarch ] && exec echo $machine-linux-musl
exec musl-gcc "\$@"
END
chmod +x "$work/bin/cc"
# musl-gcc sees musl's headers alone; those of the kernel are the same for every C library.
headers=/usr/include/$machine-linux-musl
for name in linux asm-generic mtd; do ln -sfn "/usr/include/$name" "$headers/$name"; done
ln -sfn "/usr/include/$machine-linux-gnu/asm" "$headers/asm"
export CC="$work/bin/cc" AR=ar RANLIB=ranlib PKG_CONFIG=/bin/false
export CFLAGS="-O2 -fPIC -I$deps/include" LDFLAGS="-L$deps/lib"
make -j "$(nproc)" -f "$work/build.mk" WORK="$work" PYTHON="$python" MACHINE="$machine" \
    TRIPLET="$machine-linux-musl" DEPS="$deps" ROOT="$root" install

library=$root/usr/lib/python$python
strip "$root/usr/bin/python$python" "$library"/lib-dynload/*.so
cd "$work/python$python"
full=$(./python -c 'import platform; print(platform.python_version())')
# Missing libraries make configure leave modules out without an error.
./python -c 'import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib'
ln -s "python$python" "$root/usr/bin/python3"

echo "I: laying the root out"
cd "$root"
mkdir -p bin lib sbin etc/ssl/certs proc sys dev run tmp var/tmp var/lib/dpkg root home usr/local/lib \
    usr/local/bin usr/sbin
chmod 1777 tmp var/tmp
# As Alpine has them: the C library and its loader are one file, with the name that wheels ask for.
cp -a "$deps"/shared/. usr/lib
cp -L "/usr/lib/ld-musl-$machine.so.1" "lib/ld-musl-$machine.so.1"
ln -s "ld-musl-$machine.so.1" "lib/libc.musl-$machine.so.1"
# musl's loader lists libraries where it is called so (ldso/dynlink.c); Alpine has a script for it.
mkdir -p usr/bin
ln -s "/lib/ld-musl-$machine.so.1" usr/bin/ldd
cp /usr/bin/busybox bin/busybox
for applet in $(busybox --list-full); do [ -e "$applet" ] || ln -s /bin/busybox "$applet"; done
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
