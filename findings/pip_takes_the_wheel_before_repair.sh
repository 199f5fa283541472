#!/bin/sh
# pip 26.3 takes the linux_x86_64 wheel of a folder, pip 26.0 and uv 0.13.9 the manylinux wheel that was repaired from it.
#
# A build leaves sample-1.0-cp311-cp311-linux_x86_64.whl, `auditwheel repair` writes a manylinux one with the grafted libraries;
# with the same output folder for both, or a server that is fed from it, both are candidates of one version.
# The platform compatibility tags leave the order to the tools ("most specific first"). One expects them to agree, and an update of
# pip not to change which file is installed. packaging's `sys_tags` puts linux_ARCH before manylinux since 26.3 (its
# documentation says so); pip has it since then, so the wheel without its libraries is installed, and its import fails
# wherever those libraries are missing. uv goes on to have linux_ARCH last.
#
# Wants: Linux on x86_64 with glibc of 2.17 or later, python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 26.0 26.3; do
  python3 -m venv "pip-$version"
  "pip-$version/bin/python" -m pip install -qq --disable-pip-version-check "pip==$version"
done
pip-26.3/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9 wheel==0.48.0

tag=$(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
mkdir dist
for platform in linux_x86_64 manylinux_2_17_x86_64; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  echo "made_as = '$platform'" >tree/sample.py
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: %s-%s-%s\n' "$tag" "$tag" "$platform" \
    >tree/sample-1.0.dist-info/WHEEL
  pip-26.3/bin/wheel pack -d dist tree >/dev/null
done

ls dist
for version in 26.0 26.3; do
  "pip-$version/bin/pip" install -q --disable-pip-version-check --no-index --find-links dist --target "by-$version" sample 2>/dev/null
  packaging=$("pip-$version/bin/python" -c 'from pip._vendor.packaging import __version__; print(__version__)')
  echo "pip $version (packaging $packaging): $(grep -o "'.*'" "by-$version/sample.py")"
done >words
pip-26.3/bin/uv pip install -q --no-index --find-links dist --target by-uv sample
echo "uv 0.13.9: $(grep -o "'.*'" by-uv/sample.py)" >>words
cat words
echo 'expected: the same three times'
diff words - <<'END'
pip 26.0 (packaging 26.0): 'manylinux_2_17_x86_64'
pip 26.3 (packaging 26.3): 'linux_x86_64'
uv 0.13.9: 'manylinux_2_17_x86_64'
END
