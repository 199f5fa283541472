#!/bin/sh
# distlib 0.4.4: on a system with glibc 2.36, a wheel for glibc 2.17 is compatible as manylinux2014, and not as manylinux_2_17.
#
# PEP 600: manylinux_2_17 is what manylinux2014 says, and a system takes the wheels of all policies up to its own glibc.
# distlib's COMPATIBLE_TAGS has the three old names and, of the new ones, only the glibc that is there: on Debian 12
# manylinux_2_36, none before it. Nearly each wheel of today is manylinux_2_17 or manylinux_2_28, and Wheel.is_compatible()
# is False for those; one that carries the old name beside the new, as auditwheel writes it, is saved by that.
# packaging 26.4 has all of them, from 2.36 down to 2.5.
#
# Wants: Linux on x86_64 with a glibc newer than 2.28, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check distlib==0.4.4 packaging==26.4
cat >compare.py <<'PY'
import platform
import sys

from distlib.wheel import Wheel, is_compatible
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

known, agreed = set(sys_tags()), {}
print("glibc", platform.libc_ver()[1], "Python", sys.version.split()[0])
for policy in ("manylinux1", "manylinux2014", "manylinux_2_17", "manylinux_2_28"):
    name = "sample-1.0-cp{0}{1}-cp{0}{1}-{2}_x86_64.whl".format(*sys.version_info[:2], policy)
    mine = is_compatible(Wheel(name))
    packagings = not known.isdisjoint(parse_wheel_filename(name)[3])
    agreed[policy] = mine == packagings
    print(f"{policy}: distlib says {mine}, packaging says {packagings}")
print("expected: the same")
assert agreed == {"manylinux1": True, "manylinux2014": True, "manylinux_2_17": False, "manylinux_2_28": False}
PY
tools/bin/python compare.py
