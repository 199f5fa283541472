#!/bin/sh
# Lays out a compiler and linker that are zig, under all their usual names, in the folder TOOLCHAIN.
#
# Environment: TOOLCHAIN, ZIG (the program), TARGET (zig's words), TRIPLET (Debian's), FORWARD (yes for
# glibc below 2.7); for musl MUSL (Alpine's name of its library) and MUSL_MACROS (see compiler.py).
set -e
here=$(dirname "$0")
mkdir -p "$TOOLCHAIN/bin" "$TOOLCHAIN/include/$TRIPLET" "$TOOLCHAIN/lib"

cat > "$TOOLCHAIN/target.sh" <<END
zig=$ZIG
target=$TARGET
triplet=$TRIPLET
includes="-isystem $TOOLCHAIN/include -isystem $TOOLCHAIN/include/$TRIPLET -ffile-prefix-map=/scratch/="
libraries=-L$TOOLCHAIN/lib
END
for name in cc gcc clang c++ g++ clang++ "$TRIPLET-gcc" "$TRIPLET-g++" ar gcc-ar ranlib strip; do
  cp "$here/driver.sh" "$TOOLCHAIN/bin/$name"
  chmod 755 "$TOOLCHAIN/bin/$name"
done
for name in cpp ld; do
  cp "$here/$name.sh" "$TOOLCHAIN/bin/$name"
  chmod 755 "$TOOLCHAIN/bin/$name"
done

# zig's runtime has what GCC keeps in libatomic; builds that name the library find this empty one.
printf '!<arch>\n' > "$TOOLCHAIN/lib/libatomic.a"

if [ "$FORWARD" = yes ]; then
  "$TOOLCHAIN/bin/cc" -O2 -fPIC -fno-builtin -c "$here/forward.c" -o /tmp/forward.o
  "$TOOLCHAIN/bin/ar" rcs "$TOOLCHAIN/lib/libforward.a" /tmp/forward.o
  echo "libraries='-L$TOOLCHAIN/lib $TOOLCHAIN/lib/libforward.a'" >> "$TOOLCHAIN/target.sh"
fi

# zig's own libc.so of musl has that name alone. Files that need it load, but auditwheel knows musl by the
# name that Alpine gave its library: so one of that name is linked against, and always, by every file.
if [ -n "${MUSL-}" ]; then
  macros=$(printf ' -D%s' $MUSL_MACROS)
  "$ZIG" cc -target "$TARGET" -fno-sanitize=all -g0 -s -shared -nostdlib $macros -Wl,-soname,"$MUSL" \
    "${ZIG%/*}/lib/libc/musl/libc.S" -o "$TOOLCHAIN/lib/$MUSL"
  echo "dynamic='-dynamic -Wl,--no-as-needed $TOOLCHAIN/lib/$MUSL -Wl,--as-needed'" >> "$TOOLCHAIN/target.sh"
fi
