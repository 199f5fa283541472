#!/bin/sh
# Build CPython from its source archive, without optimisation, and pack what `make install` gives.
#
# SOURCE: the archive; PREFIX: where the Python will live; OPTIONS: for configure; JOBS: for make;
# UNPACKER: a Python that unpacks the archive; CC and the like as configure takes them. Leaves
# /scratch/python.tar, whose top is what PREFIX will hold. The last line of output tells of it in JSON.
set -eu
mkdir /scratch/source /scratch/out
"$UNPACKER" -m tarfile -e "$SOURCE" /scratch/source
cd /scratch/source/*/
# shellcheck disable=SC2086 # one word an option
OPT='-DNDEBUG -O1' ./configure -q --prefix="$PREFIX" --disable-test-modules \
  --without-static-libpython --with-ensurepip=no $OPTIONS
make -s -j "$JOBS"
make -s install DESTDIR=/scratch/out >/dev/null
cd "/scratch/out$PREFIX"
find . -name '*.opt-[12].pyc' -delete
# Missing libraries make configure leave modules out without an error.
./bin/python3 -I -c '
import bz2, ctypes, ensurepip, json, lzma, platform, sqlite3, ssl, sysconfig, zlib
print(json.dumps({
    "release": platform.python_version(),
    "abi": sysconfig.get_config_var("SOABI").split("-")[1],
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "pip": ensurepip.version(),
}))' >/scratch/facts.json
tar -cf /scratch/python.tar .
cat /scratch/facts.json
