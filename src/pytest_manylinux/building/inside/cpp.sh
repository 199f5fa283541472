#!/bin/sh
# The preprocessor by its own name, as GCC's is called: cpp [OPTION...] [IN [OUT]]. It takes a file for C unless
# its name says C++, and reads standard input where none is named. It is the compiler's own, which stands beside it:
# so it sees the headers of the policy's C library.
set -f
in= out= value= language='-x c'
for argument do
  shift
  if [ -n "$value" ]; then
    value=
  else
    case $argument in
      -x) language= value=yes ;;
      -x*) language= ;;
      -[ADIUo] | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ | -target) value=yes ;;
      - | [!-]*)
        if [ -z "$in" ]; then
          in=$argument && continue
        elif [ -z "$out" ]; then
          out=$argument && continue
        fi
        ;;
    esac
  fi
  set -- "$@" "$argument"
done
case $in in *.cc | *.cpp | *.cxx | *.c++ | *.C | *.hpp | *.hh) language= ;; esac
exec "${0%/*}/cc" -E "$@" ${out:+-o "$out"} $language "${in:--}"
