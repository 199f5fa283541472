#!/bin/sh
# Lays out TOOLCHAIN (/scratch/toolchain) for one build, before any code of the project runs. The environment of
# the build is there already.
#
# Environment: PYTHON (python3.11), PACKAGES (Debian packages whose headers and libraries the build asked
# for), and what toolchain.sh asks for. With MUSL, NATIVE is zig's target for the root itself, for which
# /scratch/native is laid out: what build requirements compile runs here.
set -e
toolchain=${TOOLCHAIN:-/scratch/toolchain}

# Debian keeps pyconfig.h in a folder that also holds the root's C library: take nothing else of it.
python_headers() {
  ln -s "/usr/include/$TRIPLET/$PYTHON" "$1/include/$TRIPLET/$PYTHON"
}
TOOLCHAIN=$toolchain sh "$(dirname "$0")/toolchain.sh"
python_headers $toolchain
if [ -n "$MUSL" ]; then
  TOOLCHAIN=/scratch/native TARGET=$NATIVE MUSL='' sh "$(dirname "$0")/toolchain.sh"
  python_headers /scratch/native
  /scratch/env/bin/python "$(dirname "$0")/musl_sysconfig.py"
elif [ -e /usr/include/crypt.h ]; then # which older releases of Python.h include
  ln -s /usr/include/crypt.h $toolchain/include/crypt.h
fi

# zig has no libcrypt. No policy allows it to be outside of a wheel, so the root's is what will be put in.
if [ -z "$MUSL" ] && [ -e "/usr/lib/$TRIPLET/libcrypt.so" ]; then
  ln -s "/usr/lib/$TRIPLET/libcrypt.so" $toolchain/lib/libcrypt.so
fi

# The packages that the build asked for, and what they need: headers and link-time libraries only, and
# for musl no libraries, which are linked with glibc. A folder may be in two places (openssl/, and that of the
# architecture with its opensslconf.h), and that of the architecture's sys/ is the C library's too.
seen=' '
link_package() {
  case $seen in *" $1 "*) return 0 ;; esac
  seen="$seen$1 "
  case $1 in libc6-dev | linux-libc-dev | libcrypt-dev | libgcc-*-dev | libstdc++-*-dev) return 0 ;; esac
  dpkg-query -L "${1%%=*}" 2> /dev/null > "$toolchain/files-of-$1" || return 0
  while read -r path; do
    name=${path##*/}
    case ${path%/*} in
      /usr/include)
        [ "$name" = "$TRIPLET" ] || ln -sfn "$path" "$toolchain/include/$name" ;;
      "/usr/include/$TRIPLET")
        case $name in sys | bits | gnu | asm) continue ;; esac
        ln -sfn "$path" "$toolchain/include/$TRIPLET/$name"
        [ -L "$toolchain/include/$name" ] || ln -s "$path" "$toolchain/include/$name" ;;
      "/usr/include/$TRIPLET/sys")
        mkdir -p "$toolchain/include/$TRIPLET/sys"
        ln -sfn "$path" "$toolchain/include/$TRIPLET/sys/$name" ;;
      "/usr/lib/$TRIPLET" | /usr/lib)
        [ -z "$MUSL" ] || continue
        case $name in lib*.so | lib*.a) ln -sfn "$path" "$toolchain/lib/$name" ;; esac ;;
    esac
  done < "$toolchain/files-of-$1"
  rm "$toolchain/files-of-$1"
  for needed in $(dpkg-query -W -f '${Depends}' "${1%%=*}" | tr ',|' '\n\n' | sed 's/^ *//; s/[ (:].*//'); do
    case $needed in *-dev) link_package "$needed" ;; esac
  done
}
for package in $PACKAGES; do
  link_package "$package"
done

# What several packages offer, such as BLAS, is in none's list of files: Debian's alternatives lead to it.
show_alternative() {
  [ -L "$1" ] || return 0
  case $(readlink "$1") in /etc/alternatives/*) ln -sfn "${1#"$ROOT"}" "$2/${1##*/}" ;; esac
}
ROOT=${ROOT:-}
for path in "$ROOT/usr/include"/* "$ROOT/usr/include/$TRIPLET"/*; do
  show_alternative "$path" "$toolchain/include"
done
for path in "$ROOT/usr/lib/$TRIPLET"/lib*.so "$ROOT/usr/lib/$TRIPLET"/lib*.a; do
  [ -n "$MUSL" ] || show_alternative "$path" "$toolchain/lib"
done
