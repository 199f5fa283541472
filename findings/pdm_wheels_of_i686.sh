#!/bin/sh
# PDM 2.29.4 takes no manylinux or musllinux wheel for 32-bit x86: it looks for tags that end with _x86, and theirs end with _i686.
#
# The architecture of a platform tag is that of sysconfig.get_platform(), linux-i686 on 32-bit x86 (PEP 513, 600, 656);
# packaging and pip have manylinux_2_17_i686 there. PDM looks for wheels by the tags of dep-logic, for the machine that it runs on and for
# `pdm lock --platform`. dep-logic takes "i686" in a platform's name and calls it x86 from then on.
# One expects manylinux_2_17_i686 to be found for manylinux_2_28_i686, as manylinux_2_17_x86_64 is for manylinux_2_28_x86_64. No
# candidate is found: there each project with a compiled module is built from its source, or, with none, cannot be locked.
#
# Wants: Linux, python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  pip==26.3 uv==0.13.9 wheel==0.48.0 pdm==2.29.4 dep-logic==0.7.2 unearth==0.19.0 hishel==1.4.0
PATH=$folder/tools/bin:$PATH

mkdir dist project
for platform in manylinux_2_17_i686 manylinux_2_17_x86_64 musllinux_1_2_i686 musllinux_1_2_x86_64 win32; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\nTag: cp312-cp312-%s\n' $platform \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d dist tree >/dev/null
done
cat >project/pyproject.toml <<END
[project]
name = "app"
version = "1.0"
requires-python = ">=3.12"
dependencies = ["sample"]

[[tool.pdm.source]]
name = "pypi"
type = "find_links"
url = "file://$folder/dist"
END

export PDM_CHECK_UPDATE=false PDM_CACHE_DIR="$folder/cache" PDM_LOG_DIR="$folder/log"
pdm --version
cd project
echo "$folder/tools/bin/python" >.pdm-python
for platform in manylinux_2_28_x86_64 manylinux_2_28_i686; do
  rm -f pdm.lock
  pdm lock -q --platform=$platform --python='==3.12.*' --strategy static_urls >log 2>&1 || true
  echo "pdm lock, $platform: $(grep -ho 'sample-1.0-[a-z0-9_.-]*whl\|Unable to find candidates for sample' pdm.lock log 2>/dev/null | head -1)"
done >words
python - >>words <<'END'
import pathlib

from dep_logic.tags import EnvSpec, Platform
from packaging import tags
from pdm.models.finder import PDMPackageFinder

for platform in "musllinux_1_2_x86_64", "musllinux_1_2_i686", "windows_x86":
    spec = EnvSpec.from_spec("==3.12.*", platform, "cpython")
    finder = PDMPackageFinder(index_urls=[], find_links=[pathlib.Path("../dist").resolve().as_uri()], env_spec=spec)
    best = finder.find_best_match("sample").best
    print(f"PDM's finder, {platform}:", best and best.link.filename)

print("dep-logic, manylinux_2_28_i686:", *Platform.parse("manylinux_2_28_i686").compatible_tags[-3:])
tags.sysconfig.get_platform = lambda: "linux-i686"
print("packaging, linux-i686:", [name for name in tags._linux_platforms() if name.startswith("linux")][0])
END
cat words
echo 'expected: a wheel five times'
diff words - <<'END'
pdm lock, manylinux_2_28_x86_64: sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl
pdm lock, manylinux_2_28_i686: Unable to find candidates for sample
PDM's finder, musllinux_1_2_x86_64: sample-1.0-cp312-cp312-musllinux_1_2_x86_64.whl
PDM's finder, musllinux_1_2_i686: None
PDM's finder, windows_x86: sample-1.0-cp312-cp312-win32.whl
dep-logic, manylinux_2_28_i686: manylinux_2_5_x86 manylinux1_x86 linux_x86
packaging, linux-i686: linux_i686
END
