#!/bin/sh
# PDM 2.29.4 on musl 1.2 prefers a musllinux_1_1 wheel to the musllinux_1_2 one, and linux_x86_64 to both.
#
# `pdm lock --platform=alpine` (documented; musl 1.2 on x86_64) and a PDM that runs on Alpine go by the list of tags of
# dep-logic. PEP 656 has musllinux be used like manylinux, whose tags an installer tries from the newest that the system
# can take to the oldest (PEP 600); packaging's list for musl 1.2 begins with musllinux_1_2.
# One expects the wheel for the newer musl to be taken. dep-logic counts from 1.1 upwards where it counts manylinux downwards,
# and so PDM takes the other one; uv 0.13.9 and pip 26.3 take musllinux_1_2. By the same list it prefers musllinux_1_1 of
# any project that publishes both, each on Alpine 3.13 and later.
#
# Wants: Linux on x86_64, python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  pip==26.3 uv==0.13.9 wheel==0.48.0 pdm==2.29.4 dep-logic==0.7.2 unearth==0.19.0 hishel==1.4.0
PATH=$folder/tools/bin:$PATH

mkdir dist
for platform in musllinux_1_1 musllinux_1_2 manylinux_2_17 manylinux_2_28; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  echo "made_for = '$platform'" >tree/sample.py
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp312-cp312-%s_x86_64\n' $platform \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d dist tree >/dev/null
done

pdm --version
python - >words <<'END'
import pathlib

from dep_logic.tags import EnvSpec
from packaging import _musllinux
from pdm.models.finder import PDMPackageFinder

for platform in "alpine", "manylinux_2_28_x86_64":
    spec = EnvSpec.from_spec("==3.12.*", platform, "cpython")
    finder = PDMPackageFinder(index_urls=[], find_links=[pathlib.Path("dist").absolute().as_uri()], env_spec=spec)
    print(f"PDM, {platform}: {finder.find_best_match('sample').best.link.filename}")
    print("  tags:", *spec.platform.compatible_tags[:3])
_musllinux._get_musl_version = lambda executable: _musllinux._MuslVersion(1, 2)
print("packaging, musl 1.2:", *_musllinux.platform_tags(["x86_64"]))
END
for platform in x86_64-unknown-linux-musl x86_64-manylinux_2_28; do
  uv pip install -q --no-cache --no-index --find-links dist --python-version 3.12 --python-platform $platform --target "$platform" sample
  echo "uv, $platform: $(grep -h ^Tag "$platform"/*.dist-info/WHEEL)"
done >>words
cat words
echo 'expected: musllinux_1_2 and manylinux_2_28'
diff words - <<'END'
PDM, alpine: sample-1.0-cp312-cp312-musllinux_1_1_x86_64.whl
  tags: linux_x86_64 musllinux_1_1_x86_64 musllinux_1_2_x86_64
PDM, manylinux_2_28_x86_64: sample-1.0-cp312-cp312-manylinux_2_28_x86_64.whl
  tags: manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_26_x86_64
packaging, musl 1.2: musllinux_1_2_x86_64 musllinux_1_1_x86_64 musllinux_1_0_x86_64
uv, x86_64-unknown-linux-musl: Tag: cp312-cp312-musllinux_1_2_x86_64
uv, x86_64-manylinux_2_28: Tag: cp312-cp312-manylinux_2_28_x86_64
END
