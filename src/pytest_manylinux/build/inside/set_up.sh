#!/bin/sh
# Lays out the source, /scratch/toolchain and the isolated environment /scratch/env of one build.
#
# Environment: ARCHIVE (the source, packed), ZIG, TARGET (zig's words), TRIPLET (Debian's), PYTHON (python3.11), PACKAGES (Debian
# packages whose headers and libraries the build asked for), FORWARD (yes for glibc below 2.7).
set -e
tar -x -o -f "$ARCHIVE" -C /scratch
rm "$ARCHIVE"
here=$(dirname "$0")
toolchain=/scratch/toolchain
mkdir -p /scratch/source $toolchain/bin "$toolchain/include/$TRIPLET" $toolchain/lib

cat > $toolchain/target.sh <<END
zig=$ZIG
target=$TARGET
triplet=$TRIPLET
includes="-isystem $toolchain/include -ffile-prefix-map=/scratch/="
libraries=-L$toolchain/lib
END
for name in cc gcc clang c++ g++ clang++ "$TRIPLET-gcc" "$TRIPLET-g++" ar gcc-ar ranlib strip; do
  cp "$here/driver.sh" "$toolchain/bin/$name"
  chmod 755 "$toolchain/bin/$name"
done

# What zig made of its own libraries, from the folder that builds cannot write: lists copied, files
# linked. This runs before any code of the project. What is there already stays, hence no error.
warm=/scratch/kit/warm cache=/scratch/cache/zig
if [ -d $warm/h ]; then
  mkdir -p $cache/b $cache/h $cache/o
  cp -Rn $warm/b/. $cache/b/ || :
  cp -Rn $warm/h/. $cache/h/ || :
  cp -Rns $warm/o/. $cache/o/ || :
fi

# Debian keeps pyconfig.h in a folder that also holds the root's C library: take nothing else of it.
ln -s "/usr/include/$TRIPLET/$PYTHON" "$toolchain/include/$TRIPLET/$PYTHON"
if grep -qs '<crypt.h>' "/usr/include/$PYTHON/Python.h"; then
  ln -s /usr/include/crypt.h $toolchain/include/crypt.h
fi

# zig's runtime has what GCC keeps in libatomic; builds that name the library find this empty one.
printf '!<arch>\n' > $toolchain/lib/libatomic.a

# The packages that the build asked for, and what they need: headers and link-time libraries only.
seen=' '
link_package() {
  case $seen in *" $1 "*) return 0 ;; esac
  seen="$seen$1 "
  case $1 in libc6-dev | linux-libc-dev | libcrypt-dev | libgcc-*-dev | libstdc++-*-dev) return 0 ;; esac
  dpkg-query -L "$1" 2> /dev/null > "/tmp/files-of-$1" || return 0
  while read -r path; do
    name=${path##*/}
    case ${path%/*} in
      /usr/include | "/usr/include/$TRIPLET")
        [ "$name" = "$TRIPLET" ] || ln -sfn "$path" "$toolchain/include/$name" ;;
      "/usr/lib/$TRIPLET" | /usr/lib)
        case $name in lib*.so | lib*.a) ln -sfn "$path" "$toolchain/lib/$name" ;; esac ;;
    esac
  done < "/tmp/files-of-$1"
  for needed in $(dpkg-query -W -f '${Depends}' "$1" | tr ',|' '\n\n' | sed 's/[ (:].*//; s/^ *//'); do
    case $needed in *-dev) link_package "$needed" ;; esac
  done
}
for package in $PACKAGES; do
  link_package "$package"
done

if [ "$FORWARD" = yes ]; then
  $toolchain/bin/cc -O2 -fPIC -fno-builtin -c "$here/forward.c" -o /tmp/forward.o
  $toolchain/bin/ar rcs $toolchain/lib/libforward.a /tmp/forward.o
  echo "libraries='-L$toolchain/lib $toolchain/lib/libforward.a'" >> $toolchain/target.sh
fi

"$PYTHON" -m venv --without-pip /scratch/env
