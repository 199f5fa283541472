#!/bin/sh
# uv 0.13.9 does not install a local wheel from the pylock.toml that `pip lock` 26.3 wrote: "URL scheme is not allowed".
#
# `pip lock ./sample-1.0-py3-none-any.whl` writes packages.archive with `url = "file:///…"`. By the specification of pylock.toml that
# is the URL of the archive, with no word of which schemes; to be one file for all installers is what the format is for.
# One expects uv to install it, as it installs a wheel of packages.wheels by a file: URL. For the same URL in packages.archive it
# starts a download, which refuses the scheme: "builder error". `path` in place of `url` works.
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
url=file://$folder/sample-1.0-py3-none-any.whl
digest=$(sha256sum sample-1.0-py3-none-any.whl | cut -d' ' -f1)

head='lock-version = "1.0"\ncreated-by = "hand"\n[[packages]]\nname = "sample"\n'
pip lock -q --disable-pip-version-check --no-index ./sample-1.0-py3-none-any.whl -o pylock.pip.toml 2>/dev/null
printf "$head"'archive = { path = "sample-1.0-py3-none-any.whl", hashes = { sha256 = "%s" } }\n' "$digest" >pylock.path.toml
printf "$head"'version = "1.0"\nwheels = [{ url = "%s", hashes = { sha256 = "%s" } }]\n' "$url" "$digest" >pylock.wheels.toml

echo "pip $(pip --version | cut -d' ' -f2), $(uv --version | cut -d' ' -f1,2)"
sed "s#$folder#FOLDER#" pylock.pip.toml
for lock in pip path wheels; do
  pip install -q --disable-pip-version-check --no-index -r pylock.$lock.toml --target "pip-$lock" 2>log &&
    echo "pip, pylock.$lock.toml: installed" || echo "pip, pylock.$lock.toml: refused"
  uv pip install -q --no-index --preview -r pylock.$lock.toml --target "uv-$lock" 2>log &&
    echo "uv, pylock.$lock.toml: installed" || echo "uv, pylock.$lock.toml: $(grep -o 'URL scheme.*' log)"
done >words
cat words
echo 'expected: installed six times'
diff words - <<'END'
pip, pylock.pip.toml: installed
uv, pylock.pip.toml: URL scheme is not allowed
pip, pylock.path.toml: installed
uv, pylock.path.toml: installed
pip, pylock.wheels.toml: installed
uv, pylock.wheels.toml: installed
END
