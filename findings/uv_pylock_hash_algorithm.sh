#!/bin/sh
# uv 0.13.9 refuses a whole pylock.toml for a blake2b digest beside the sha256 that it can verify; pip 26.3 installs from it.
#
# The specification of pylock.toml has a table `hashes`: "the key is the hash algorithm", with at least one secure algorithm from
# hashlib.algorithms_guaranteed. blake2b is one of those, and its digest there has 64 bytes.
# One expects a reader to verify by an algorithm that it has, and to leave others alone, as uv leaves sha3_256 alone. To uv a
# blake2b digest has 32 bytes (64 hexadecimal digits): the file is "TOML parse error … invalid hash digest length", exit code 2, even
# where sha256 stands beside it. With 32 bytes it is the other way round: uv installs and pip refuses, so that no blake2b
# digest can be in a file for both.
#
# Wants: python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir -p tree/sample-1.0.dist-info
echo 'number = 1' >tree/sample.py
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null

echo "pip $(pip --version | cut -d' ' -f2), $(uv --version | cut -d' ' -f1,2)"
for names in sha256 'sha256 sha3_256' 'sha256 blake2b' blake2b 'blake2b of 32 bytes'; do
  python - "$names" >pylock.toml <<'END'
import hashlib, sys

content = open("sample-1.0-py3-none-any.whl", "rb").read()
if sys.argv[1].endswith("of 32 bytes"):
    found = {"blake2b": hashlib.blake2b(content, digest_size=32).hexdigest()}
else:
    found = {name: hashlib.new(name, content).hexdigest() for name in sys.argv[1].split()}
assert found.keys() <= hashlib.algorithms_guaranteed
print(f"""lock-version = "1.0"
created-by = "hand"
[[packages]]
name = "sample"
version = "1.0"
[[packages.wheels]]
path = "sample-1.0-py3-none-any.whl"
hashes = {{ {", ".join(f'{name} = "{digest}"' for name, digest in found.items())} }}""")
END
  rm -rf by-pip by-uv
  pip install -q --disable-pip-version-check --no-index -r pylock.toml --target by-pip 2>log && echo "pip, $names: installed" ||
    echo "pip, $names: refused"
  uv pip install -q --no-index --preview -r pylock.toml --target by-uv 2>log && echo "uv, $names: installed" ||
    echo "uv, $names: $(grep -io 'invalid hash digest.*' log)"
done >words
cat words
echo 'expected: installed by both, but for the last'
diff words - <<'END'
pip, sha256: installed
uv, sha256: installed
pip, sha256 sha3_256: installed
uv, sha256 sha3_256: installed
pip, sha256 blake2b: installed
uv, sha256 blake2b: Invalid hash digest length (expected 64 hexadecimal characters, found 128)
pip, blake2b: installed
uv, blake2b: Invalid hash digest length (expected 64 hexadecimal characters, found 128)
pip, blake2b of 32 bytes: refused
uv, blake2b of 32 bytes: installed
END
