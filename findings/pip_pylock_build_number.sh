#!/bin/sh
# pip 26.3 installs the older of two builds that a pylock.toml lists; from an index, it takes the newer, as uv does from both.
#
# A wheel that was built again without a new version has a build number, the third part of its name. The wheel specification:
# it "acts as a tie-breaker if two wheel file names are the same in all other respects". A lock file (pylock.toml) lists
# all wheels of the index for a version, and an installer chooses from them by the name (the specification's "Look for the
# appropriate wheel file").
# One expects pip to choose as it does from an index. With the rebuilt wheel in the lock file it installs the first one of the
# list, the one that was to be replaced, with no word; the order of the list is left to who writes it.
#
# Wants: python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir dist
for build in 1 2; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  echo "build = $build" >tree/sample.py
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nBuild: %s\nTag: py3-none-any\n' $build \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d dist tree >/dev/null
done
printf 'lock-version = "1.0"\ncreated-by = "hand"\n[[packages]]\nname = "sample"\nversion = "1.0"\n' >pylock.toml
for wheel in dist/*.whl; do
  printf '[[packages.wheels]]\npath = "%s"\nhashes = { sha256 = "%s" }\n' "$wheel" "$(sha256sum "$wheel" | cut -d' ' -f1)"
done >>pylock.toml
grep path pylock.toml

{
  pip install -q --disable-pip-version-check --no-index --find-links dist --target pip-index sample 2>/dev/null
  echo "pip, index: $(cat pip-index/sample.py)"
  pip install -q --disable-pip-version-check --no-index -r pylock.toml --target pip-lock 2>/dev/null
  echo "pip, pylock.toml: $(cat pip-lock/sample.py)"
  uv pip install -q --no-index --find-links dist --target uv-index sample
  echo "uv, index: $(cat uv-index/sample.py)"
  uv pip install -q --no-index --preview -r pylock.toml --target uv-lock
  echo "uv, pylock.toml: $(cat uv-lock/sample.py)"
} >words
echo "pip $(pip --version | cut -d' ' -f2), $(uv --version | cut -d' ' -f1,2)"
cat words
echo 'expected: build = 2 four times'
diff words - <<'END'
pip, index: build = 2
pip, pylock.toml: build = 1
uv, index: build = 2
uv, pylock.toml: build = 2
END
