#!/bin/sh
# The compiler and linker of a build: zig, aimed at the policy's C library. Its name says which tool it is.
#
# Build systems pass flags that GNU tools know. What zig refuses and what changes no behaviour of the
# result is left out here; every other flag goes through, and zig's own words are the error. Left out
# too is link-time optimisation: for it zig would compile all of libc++ once more, which takes minutes.
set -f
runtime= # the libraries of C++ itself, where they were compiled beforehand
dynamic= # what a link with musl's shared library takes
. "${0%/*}/../target.sh" # sets zig, target, triplet, includes, libraries, perhaps runtime or dynamic

case ${0##*/} in
  *ar) exec "$zig" ar "$@" ;;
  *ranlib) exec "$zig" ranlib "$@" ;;
  *strip) exit 0 ;; # everything is linked stripped; zig has no strip
  *++) language=c++ ;;
  *) language=cc ;;
esac

# One -Wl,… argument in; the words of it that zig's linker knows out, in $kept.
linker_words() {
  kept=
  IFS=,
  set -- ${1#-Wl,}
  unset IFS
  while [ $# -gt 0 ]; do
    case $1 in
      -O* | -Bsymbolic-functions | --warn-common | --sort-common* | --push-state | --pop-state) ;;
      --icf=* | --exclude-libs=* | -Map=* | -rpath-link=* | --rpath-link=*) ;;
      --exclude-libs | -Map | -rpath-link | --rpath-link) shift ;;
      -h) kept="$kept,-soname" ;;
      *) kept="$kept,$1" ;;
    esac
    [ $# -eq 0 ] || shift
  done
}

# Whether a folder holds the C library of the root: newer than the policy's, in headers and library.
is_system_folder() {
  case ${1%/} in
    /usr/include | /usr/include/"$triplet") ;;
    /lib | /lib64 | /usr/lib | /usr/lib64 | /lib/"$triplet" | /usr/lib/"$triplet") ;;
    *) return 1 ;;
  esac
}

# Whether -l names musl itself, which is all of these, or what zig links statically.
is_in_libc() {
  case $1 in
    c | m | pthread | dl | rt | util | crypt | resolv | xnet | stdc++ | gcc | gcc_s | atomic) ;;
    *) return 1 ;;
  esac
}

link=yes
sources=no
program=yes # which musl is linked into, unless it needs another shared library: so that it runs anywhere
option= # an option that was seen and whose folder comes next
for argument do
  shift
  if [ -n "$option" ]; then
    is_system_folder "$argument" || set -- "$@" "$option" "$argument"
    option=
    continue
  fi
  case $argument in
    -I | -L | -isystem | -idirafter)
      option=$argument
      continue
      ;;
    -I* | -L*) ! is_system_folder "${argument#-?}" || continue ;;
    -isystem*) ! is_system_folder "${argument#-isystem}" || continue ;;
    -c | -S | -E | -M | -MM | -fsyntax-only) link=no ;;
    -r | -static) dynamic= ;;
    -x* | *.c | *.cc | *.cpp | *.cxx | *.c++ | *.C | *.i | *.ii) sources=yes ;;
    -dump* | -print-* | --print-*) target=${target%%.*} ;;
    -flto | -flto=* | -flto-* | -ffat-lto-objects | -fno-fat-lto-objects) continue ;; # see above
    -mtune=* | -static-libgcc | -static-libstdc++ | -fuse-ld=*) continue ;;
    -Wp,-D* | -Wp,-U*) argument=${argument#-Wp,} ;;
    -Wl,*)
      linker_words "$argument"
      [ -n "$kept" ] || continue
      argument=-Wl$kept
      ;;
    -shared | -l* | *.so | *.so.[0-9]*)
      is_in_libc "${argument#-l}" || program=no
      ;;
  esac
  set -- "$@" "$argument"
done

# An unoptimised link would pull in zig's sanitizer runtime, which wants symbols far newer than old
# policies have. Debug information would make wheels several times too big.
set -- -target "$target" -fno-sanitize=all $includes "$@" -g0
[ $program = no ] || dynamic=
[ $link = no ] || set -- "$@" -s $libraries $dynamic
# Only objects are linked, so C will do: for C++ zig would compile all of its runtime, if it did not yet.
if [ "$language $link $sources" = "c++ yes no" ] && [ -n "$runtime" ]; then
  language=cc
  set -- "$@" $runtime
fi
exec "$zig" $language "$@"
