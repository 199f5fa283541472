#!/bin/sh
# PDM 2.29.4 finds no abi3t wheel, the stable ABI of free-threaded Python, for any Python.
#
# PEP 803: from Python 3.15 on, a module for the stable ABI of free-threaded builds is tagged abi3t, and one for both kinds of
# build abi3.abi3t; 3.16 takes what was made for 3.15. packaging 26.4 lists these tags, and pip 26.3 takes the wheels by them. PDM looks
# for wheels by dep-logic, which knows abi3 alone, and takes every other ABI's name for one that begins with the Python's tag.
# One expects a free-threaded 3.15 and 3.16 to find both wheels. There is no candidate; where the project has a source, it is built.
#
# Wants: Linux, python3 with venv, a package index (for the tools). Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check \
  pip==26.3 packaging==26.4 wheel==0.48.0 pdm==2.29.4 dep-logic==0.7.2 unearth==0.19.0 hishel==1.4.0
PATH=$folder/tools/bin:$PATH

for abi in cp315t abi3t abi3.abi3t; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info "$abi"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\n' >tree/sample-1.0.dist-info/WHEEL
  for one in $(echo $abi | tr . ' '); do
    echo "Tag: cp315-$one-manylinux_2_17_x86_64" >>tree/sample-1.0.dist-info/WHEEL
  done
  wheel pack -d "$abi" tree >/dev/null
done

export PDM_CHECK_UPDATE=false PDM_CACHE_DIR="$folder/cache" PDM_LOG_DIR="$folder/log"
pdm --version
for abi in cp315t abi3t abi3.abi3t; do
  for minor in 15 16; do
    if pip download -qq --no-deps --only-binary :all: --python-version 3.$minor --abi cp3${minor}t \
      --platform manylinux_2_17_x86_64 --no-index -f $abi -d got sample >output 2>&1; then pip=found; else pip=none; fi
    echo "cp315-$abi for 3.${minor}t: pip $pip, PDM $(python - $abi $minor <<'END'
import pathlib
import sys

from dep_logic.tags import EnvSpec
from pdm.models.finder import PDMPackageFinder

abi, minor = sys.argv[1:]
spec = EnvSpec.from_spec(f"==3.{minor}.*", "manylinux_2_28_x86_64", "cpython", gil_disabled=True)
place = pathlib.Path(abi).resolve().as_uri()
finder = PDMPackageFinder(index_urls=[], find_links=[place], env_spec=spec)
print("found" if finder.find_best_match("sample").best else "none")
END
)"
  done
done >words
cat words
echo 'expected: PDM like pip'
diff words - <<'END'
cp315-cp315t for 3.15t: pip found, PDM found
cp315-cp315t for 3.16t: pip none, PDM none
cp315-abi3t for 3.15t: pip found, PDM none
cp315-abi3t for 3.16t: pip found, PDM none
cp315-abi3.abi3t for 3.15t: pip found, PDM none
cp315-abi3.abi3t for 3.16t: pip found, PDM none
END
