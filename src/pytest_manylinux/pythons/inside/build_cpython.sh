#!/bin/sh
# Build CPython from its source archive, without optimisation, and pack what `make install` gives.
#
# SOURCE: the archive; PREFIX: where the Python will live; OPTIONS: for configure; JOBS: for make;
# UNPACKER: a Python that unpacks the archive; CC and the like as configure takes them. For another
# architecture: TRIPLET, Debian's name of it; SYSROOT, an archive of a root's headers and libraries; and
# UNPACKER is a Python of the same release, which does what the new one cannot here.
# Leaves /scratch/python.tar, whose top is what PREFIX will hold.
set -eu
mkdir /scratch/source /scratch/out /scratch/sysroot
"$UNPACKER" -W ignore -m tarfile -e "$SOURCE" /scratch/source
if [ -n "${TRIPLET:-}" ]; then
  sysroot=/scratch/sysroot
  tar -xf "$SYSROOT" -C "$sysroot"
  # A link's absolute target is the build's own file, also where the linker follows it.
  find "$sysroot" -type l -lname '/*' | while read -r link; do
    ln -sfn "$sysroot$(readlink "$link")" "$link"
  done
  export CC="$TRIPLET-gcc --sysroot=$sysroot"
  export PKG_CONFIG_LIBDIR=/nonexistent # what it knows is of this machine's libraries
  # Answers that configure would have to run a program for: those of any glibc of today.
  export ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no ac_cv_buggy_getaddrinfo=no
  OPTIONS="$OPTIONS --host=$TRIPLET --build=$(gcc -dumpmachine) --with-build-python=$UNPACKER"
  OPTIONS="$OPTIONS --with-openssl=$sysroot/usr"
fi
cd /scratch/source/*/
# shellcheck disable=SC2086 # one word an option
OPT='-DNDEBUG -O1' ./configure -q --prefix="$PREFIX" --disable-test-modules \
  --without-static-libpython --with-ensurepip=no $OPTIONS || {
  code=$?
  grep -h 'error: ' config.log >&2 || true # where configure only names this file
  exit $code
}
make -s -j "$JOBS"
make -s install DESTDIR=/scratch/out >/dev/null
cd "/scratch/out$PREFIX"
find . -name '*.opt-[12].pyc' -delete
if [ -n "${TRIPLET:-}" ]; then # what builds for this Python will read: a compiler as in its own root
  grep -rlI -e "--sysroot=$sysroot" lib bin | while read -r file; do
    sed -i -e "s, *--sysroot=$sysroot,,g" -e "s,$TRIPLET-gcc,gcc,g" -e "s, *-[IL]$sysroot[^ ']*,,g" "$file"
  done
fi
tar -cf /scratch/python.tar .
