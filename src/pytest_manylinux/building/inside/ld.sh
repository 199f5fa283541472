#!/bin/sh
# The linker by its own name: the one inside of zig. libtool looks for it, and some builds call it themselves, to make
# an object of data (`ld -r -b binary`). Where there is no object to tell the machine, GNU ld takes its own.
. "${0%/*}/../target.sh" # sets zig, triplet
case $triplet in
  x86_64-*) machine=elf_x86_64 ;;
  i386-*) machine=elf_i386 ;;
  aarch64-*) machine=aarch64linux ;;
  arm-*) machine=armelf_linux_eabi ;;
  loongarch64-*) machine=elf64loongarch ;;
  powerpc64le-*) machine=elf64lppc ;;
  riscv64-*) machine=elf64lriscv ;;
  s390x-*) machine=elf64_s390 ;;
esac
exec "$zig" ld.lld -m "$machine" "$@"
