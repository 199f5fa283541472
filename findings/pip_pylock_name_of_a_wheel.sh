#!/bin/sh
# pip 26.3 refuses a wheel of pylock.toml whose `url` does not end with its name, though `name` says what it is.
#
# Artifact stores serve files under numbers or digests. For them the specification of pylock.toml has packages.wheels.name,
# "the file name of the binary distribution format file", required where the last component of the path or URL differs from it; "if
# specified, this key's value takes precedence over the file name found in" the URL or the path.
# One expects an installer to go by `name`. pip reads it to choose the wheel, then goes by the ending of the URL or path: without
# `.whl` it says "not a file" of a file that is there, or "unsupported archive format". uv 0.13.9 installs all of them.
#
# Wants: python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check pip==26.3 uv==0.13.9 wheel==0.48.0
PATH=$folder/tools/bin:$PATH

mkdir -p tree/sample-1.0.dist-info store
echo 'number = 1' >tree/sample.py
printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n' \
  >tree/sample-1.0.dist-info/WHEEL
wheel pack -d . tree >/dev/null
digest=$(sha256sum sample-1.0-py3-none-any.whl | cut -d' ' -f1)
cp sample-1.0-py3-none-any.whl store/4711
cp sample-1.0-py3-none-any.whl store/4711.bin

echo "pip $(pip --version | cut -d' ' -f2), $(uv --version | cut -d' ' -f1,2)"
for where in "url = \"file://$folder/store/4711\"" 'path = "store/4711"' 'path = "store/4711.bin"'; do
  {
    printf 'lock-version = "1.0"\ncreated-by = "hand"\n[[packages]]\nname = "sample"\nversion = "1.0"\n'
    printf '[[packages.wheels]]\nname = "sample-1.0-py3-none-any.whl"\n%s\nhashes = { sha256 = "%s" }\n' "$where" "$digest"
  } >pylock.toml
  what=$(echo "$where" | sed 's#"file:.*/store#"file:FOLDER/store#')
  rm -rf by-pip by-uv
  pip install -q --disable-pip-version-check --no-index -r pylock.toml --target by-pip 2>log && echo "pip, $what: installed" ||
    echo "pip, $what: $(grep -o 'unsupported archive format.*\|not a file' log | tail -1)"
  uv pip install -q --no-index --preview -r pylock.toml --target by-uv 2>/dev/null && echo "uv, $what: installed" ||
    echo "uv, $what: refused"
done >words
cat words
echo 'expected: installed six times'
[ "$(grep -c '^uv, .*: installed$' words)" = 3 ]
[ "$(grep -c '^pip, .*: not a file$' words)" = 2 ]
grep -q '^pip, .*: unsupported archive format' words
