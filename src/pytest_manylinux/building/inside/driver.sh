#!/bin/sh
# The compiler and linker of a build: zig, aimed at the policy's C library. Its name says which tool it is.
#
# Build systems pass flags that GNU tools know. Arguments of the linker that zig's driver refuses are
# translated, handed to the linker inside of zig, or left out with a word; every other flag goes through,
# and zig's own words are the error. Left out too is link-time optimisation: for it zig would compile all
# of libc++ once more, which takes minutes.
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

more=    # a line for each word that only the linker itself takes
pending= # an argument of the linker whose value comes next
stack=   # what --push-state has kept of the next three
needed=--as-needed whole=--no-whole-archive mode=-search_paths_first

# Leave an argument of the linker out, with a word in the build's log.
left_out() {
  echo "pytest-manylinux: linker argument $1 left out: $2" >&2
}

# Put a word after -Wl in $words.
word() { words=$words,$1; }

# Put -L… or -l… between two -Wl, within which zig's driver does not take them.
library() {
  ! is_system_folder "${1#-L}" || return 0
  [ "$1" = "${1#-l}" ] || is_in_libc "${1#-l}" || program=no
  words="$words
$1
-Wl"
}

# Keep what zig's driver refuses for the linker itself; see `link_again`.
keep() {
  for kept do
    more="$more$kept
"
  done
}

pop_state() {
  IFS=,
  set -- $stack
  [ $# -lt 3 ] || { needed=$1 whole=$2 mode=$3 && shift 3; }
  stack=$*
  unset IFS
}

# -z KEYWORD: those that zig's driver takes; lld says so where it does not know one either.
keyword() {
  case $1 in
    relro | norelro | now | lazy | defs | undefs | origin | nodelete | noexecstack | nocopyreloc | notext) word "-z,$1" ;;
    max-page-size=* | common-page-size=* | stack-size=*) word "-z,$1" ;;
    textoff) word -z,notext ;;
    *) keep -z "$1" ;;
  esac
}

# One argument of GNU ld in, with its value where it takes one. The lists are what zig 0.17.1 and the lld
# inside of it took and refused of all that `ld --help` names.
linker_argument() {
  case $1 in -[Ll]*) library "$1${2-}" && return ;; esac
  name=${1#-}
  case ${name#-} in
    as-needed | no-as-needed) needed=$1 && word "$1" ;;
    whole-archive | no-whole-archive) whole=$1 && word "$1" ;;
    Bstatic | dn | non_shared | static) mode=-Bstatic && word "$mode" ;;
    Bdynamic | dy | call_shared) mode=-search_paths_first && word "$mode" ;; # zig's takes no static library
    push-state) stack=$needed,$whole,$mode${stack:+,$stack} ;;
    pop-state) pop_state && word "$needed,$whole,$mode" ;;
    version-script) word "--undefined-version,$1,$2" ;; # takes names that are not there, as GNU ld does
    version-script=*) word "--undefined-version,$1" ;;
    h) word "-soname,$2" ;;
    R) word "-rpath,$2" ;;
    R*) word "-rpath,${1#-R}" ;;
    undefined | require-defined) word "-u,$2" ;;
    undefined=* | require-defined=*) word "-u,${1#*=}" ;;
    "(") word --start-group ;;
    ")") word --end-group ;;
    z) keyword "$2" ;;
    z*) keyword "${name#z}" ;;
    warn-common | warn-once | warn-section-align | *warn-*execstack | *warn-rwx-segments | *warn-*mismatch | \
      O* | sort-common | sort-common=* | stats | reduce-memory-overheads | no-keep-memory | traditional-format | \
      hash-size=* | G | gpsize | spare-dynamic-tags | no-map-whole-files | *ld-generated-unwind-info | *ctf-variables | \
      flto* | plugin | plugin-opt | plugin-opt=* | Qy | g) left_out "$1" "it changes nothing that a wheel is used for" ;;
    *add-needed | *copy-dt-needed-entries | rpath-link | rpath-link=*)
      left_out "$1" "zig's linker does not follow the requirements of libraries"
      ;;
    gc-sections | no-gc-sections | print-gc-sections | E | export-dynamic | Bsymbolic | soname* | rpath* | \
      *able-new-dtags | build-id* | hash-style* | s | S | x | w | strip-all | strip-debug | discard-all | \
      no-undefined | *allow-shlib-undefined | *undefined-version | u | e | entry* | wrap* | sort-section* | \
      print-map | *eh-frame-hdr | compress-debug-sections* | image-base* | dependency-file* | *dynamic-linker* | I | \
      *fatal-warnings | color-diagnostics* | T | script* | m | v | version | *-group) word "$1" ;;
    *) if [ "$1" = "$name" ]; then word "$1"; else keep "$@"; fi ;; # a file or a value, or an argument
  esac
}

# The words after -Wl, in; arguments for zig's driver out in $words, a line for each, -Wl alone for none.
linker_words() {
  words=-Wl
  IFS=,
  set -- $pending $1
  unset IFS
  pending=
  while [ $# -gt 0 ]; do
    name=${1#-}
    case ${name#-} in
      z | h | R | L | l | undefined | require-defined | version-script | exclude-libs | defsym | dynamic-list | init | \
        fini | Map | export-dynamic-symbol | export-dynamic-symbol-list | retain-symbols-file | y | trace-symbol | f | \
        auxiliary | F | filter | just-symbols | section-start | Ttext | Tdata | Tbss | rpath-link | plugin | plugin-opt | \
        G | gpsize | spare-dynamic-tags | format | b)
        if [ "$1" != "$name" ]; then
          [ $# -gt 1 ] || { pending=$1 && return; } # its value is in the next -Wl
          linker_argument "$1" "$2"
          shift 2
          continue
        fi
        ;;
    esac
    linker_argument "$1"
    shift
  done
}

# Link with zig, then once more with the linker inside of it: as zig called it, and with the words that its
# driver refuses. The first may fail for want of these words.
link_again() {
  for one do
    case $one in
      *[[:space:]]*) # zig says its call without quotes
        left_out "$(echo $more)" "there is a space in $one"
        exec "$zig" "$@"
        ;;
    esac
  done
  said=$(mktemp)
  ZIG_VERBOSE_LINK=1 "$zig" "$@" 2> "$said" || code=$?
  call=$(sed -n 's/^ld\.lld -/-/p' "$said" | tail -n 1)
  grep -v '^ld\.lld[: ]\|^>>> ' "$said" >&2
  rm -f "$said"
  [ -n "$call" ] || exit "${code:-1}"
  set -- $call
  IFS='
'
  set -- "$@" $more
  unset IFS
  exec "$zig" ld.lld "$@"
}

link=yes
sources=no
inputs=no # without one, the compiler is asked a question: its version, where something lies
typed=no  # whether -x says what is read; of standard input zig wants to be told
program=yes # which musl is linked into, unless it needs another shared library: so that it runs anywhere
option= # an option that was seen and whose folder or word comes next
for argument do
  shift
  case $option in
    '') ;;
    -z) argument=-Wl,-z,$argument ;;
    -Xlinker) argument=-Wl,$argument ;;
    *)
      is_system_folder "$argument" || set -- "$@" "$option" "$argument"
      option=
      continue
      ;;
  esac
  option=
  case $argument in
    -I | -L | -isystem | -idirafter | -z | -Xlinker)
      option=$argument
      continue
      ;;
    -I* | -L*) ! is_system_folder "${argument#-?}" || continue ;;
    -isystem*) ! is_system_folder "${argument#-isystem}" || continue ;;
    -c | -S | -E | -M | -MM | -fsyntax-only) link=no ;;
    -r | -static) dynamic= ;;
    -x*) sources=yes typed=yes ;;
    *.c | *.cc | *.cpp | *.cxx | *.c++ | *.C | *.i | *.ii) sources=yes ;;
    -print-multiarch | --print-multiarch) echo "$triplet" && exit ;; # clang knows neither
    -dumpfullversion) argument=-dumpversion ;;
    -dump* | -print-* | --print-*) target=${target%%.*} ;;
    -)
      case $typed$language in nocc) set -- "$@" -x c ;; noc++) set -- "$@" -x c++ ;; esac
      typed=yes
      ;;
    -flto | -flto=* | -flto-* | -ffat-lto-objects | -fno-fat-lto-objects) continue ;; # see above
    -mtune=* | -static-libgcc | -static-libstdc++ | -fuse-ld=*) continue ;;
    -Wp,-D* | -Wp,-U* | -Wp,-v) argument=${argument#-Wp,} ;;
    -Wl,*)
      inputs=yes
      linker_words "${argument#-Wl,}"
      IFS='
'
      for argument in $words; do
        [ "$argument" = -Wl ] || set -- "$@" "$argument"
      done
      unset IFS
      continue
      ;;
    -shared | -l* | *.so | *.so.[0-9]*)
      is_in_libc "${argument#-l}" || program=no
      ;;
  esac
  case $argument in - | [!-]* | -l* | -shared) inputs=yes ;; esac
  set -- "$@" "$argument"
done
[ $inputs = yes ] || link=no target=${target%%.*}
[ -z "$pending" ] || set -- "$@" "-Wl,$pending" # its value is missing, which zig says
[ -z "$option" ] || set -- "$@" "$option"

# An unoptimised link would pull in zig's sanitizer runtime, which wants symbols far newer than old
# policies have. Debug information would make wheels several times too big.
set -- -target "$target" -fno-sanitize=all $includes "$@" -g0
[ $program = no ] || dynamic=
[ $typed = no ] || libraries="-x none $libraries" # which are not what -x says
[ $link = no ] || set -- "$@" -s $libraries $dynamic
# Only objects are linked, so C will do: for C++ zig would compile all of its runtime, if it did not yet.
if [ "$language $link $sources" = "c++ yes no" ] && [ -n "$runtime" ]; then
  language=cc
  set -- "$@" $runtime
fi
[ $link = no ] || [ -z "$more" ] || link_again $language "$@"
exec "$zig" $language "$@"
