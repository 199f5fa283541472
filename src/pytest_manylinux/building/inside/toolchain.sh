#!/bin/sh
# Lays out a compiler and linker that are zig, under all their usual names, in the folder TOOLCHAIN.
#
# Environment: TOOLCHAIN, ZIG (the program), TARGET (zig's words), TRIPLET (Debian's), FORWARD (yes for
# glibc below 2.7).
set -e
here=$(dirname "$0")
mkdir -p "$TOOLCHAIN/bin" "$TOOLCHAIN/include/$TRIPLET" "$TOOLCHAIN/lib"

cat > "$TOOLCHAIN/target.sh" <<END
zig=$ZIG
target=$TARGET
triplet=$TRIPLET
includes="-isystem $TOOLCHAIN/include -ffile-prefix-map=/scratch/="
libraries=-L$TOOLCHAIN/lib
END
for name in cc gcc clang c++ g++ clang++ "$TRIPLET-gcc" "$TRIPLET-g++" ar gcc-ar ranlib strip; do
  cp "$here/driver.sh" "$TOOLCHAIN/bin/$name"
  chmod 755 "$TOOLCHAIN/bin/$name"
done

# zig's runtime has what GCC keeps in libatomic; builds that name the library find this empty one.
printf '!<arch>\n' > "$TOOLCHAIN/lib/libatomic.a"

if [ "$FORWARD" = yes ]; then
  "$TOOLCHAIN/bin/cc" -O2 -fPIC -fno-builtin -c "$here/forward.c" -o /tmp/forward.o
  "$TOOLCHAIN/bin/ar" rcs "$TOOLCHAIN/lib/libforward.a" /tmp/forward.o
  echo "libraries='-L$TOOLCHAIN/lib $TOOLCHAIN/lib/libforward.a'" >> "$TOOLCHAIN/target.sh"
fi
