#!/bin/sh
# Modules for PyPy 3.11 on 32-bit x86 end in x86-linux-gnu.so in wheels for the ABI pp73, in i386-linux-gnu.so in those for pp80.
#
# A platform tag has one name for the architecture, i686 (PEP 513), and so has the suffix on x86_64: PyPy builds of both ABIs have
# x86_64-linux-gnu there. PyPy looks for one suffix alone, its own EXT_SUFFIX, and for no plain NAME.so. So
# a file name that is made by hand from the ABI and the architecture is right for one of them and not found by the other;
# wheels of rpds-py and pyzmq for PyPy 3.11 show both. (PyPy 7.3.19 as Debian 13 packages it takes pp73 wheels for i686 and looks for
# i386-linux-gnu, so that it installs such a wheel and does not find its module.)
# One expects the end of the suffix to be that of the architecture, whatever the ABI.
#
# Wants: Linux, python3 with venv, a package index (for the tools and the wheels). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3
for arch in i686 x86_64; do
  for one in pp73:rpds-py==2026.9.1 pp80:pyzmq==27.3.0; do
    tools/bin/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary=:all: -d wheels \
      --implementation pp --python-version 311 --abi "pypy311_${one%%:*}" --platform "manylinux_2_28_$arch" \
      --platform "manylinux_2_17_$arch" --platform "manylinux_2_5_$arch" "${one#*:}"
  done
done
tools/bin/python - >words <<'END'
import pathlib, zipfile

for wheel in sorted(pathlib.Path("wheels").iterdir()):
    names = zipfile.ZipFile(wheel).namelist()
    name, _, _, abi, platform = wheel.stem.split("-")
    arch = "i686" if platform.endswith("i686") else "x86_64"
    print(name, abi, arch, *(name.rpartition("/")[2] for name in names if "pypy" in name and name.endswith(".so")))
END
cat words
echo 'expected: one end for each architecture'
diff words - <<'END'
pyzmq pypy311_pp80 x86_64 _cffi.pypy311-pp80-x86_64-linux-gnu.so
pyzmq pypy311_pp80 i686 _cffi.pypy311-pp80-i386-linux-gnu.so
rpds_py pypy311_pp73 x86_64 rpds.pypy311-pp73-x86_64-linux-gnu.so
rpds_py pypy311_pp73 i686 rpds.pypy311-pp73-x86-linux-gnu.so
END
