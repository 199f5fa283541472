#!/bin/sh
# hatchling 1.33.0 does not build a wheel with two SBOMs of one file name, and blames `force-include`, which is not used.
#
# `tool.hatch.build.targets.wheel.sbom-files` lists the files for .dist-info/sboms (PEP 770). Each tool writes its own, and a project
# of two parts has them in the parts' folders: rust/bom.cdx.json, c/bom.cdx.json. PEP 770 says of sboms that it contains SBOM files,
# which installers copy, and leaves their names to the builder.
# One expects both in the wheel, as two license files of one name are (licenses/rust/LICENSE, licenses/c/LICENSE). hatchling drops
# the folder, adds both as sboms/bom.cdx.json, and ends with a ValueError whose "most likely cause" is a table that the
# project does not have.
#
# Wants: python3 with venv, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
tools/bin/python -m pip install -qq --disable-pip-version-check hatchling==1.33.0
PATH=$folder/tools/bin:$PATH

mkdir -p project/sample project/rust project/c
cd project
touch sample/__init__.py
for part in rust c; do
  echo "license of $part" >$part/LICENSE
  printf '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "library", "name": "of-%s"}]}\n' $part \
    >$part/bom.cdx.json
done
echo "hatchling $(python -c 'import importlib.metadata as m; print(m.version("hatchling"))')"
for sboms in '"rust/bom.cdx.json"' '"rust/bom.cdx.json", "c/bom.cdx.json"'; do
  cat >pyproject.toml <<END
[build-system]
requires = ["hatchling == 1.33.0"]
build-backend = "hatchling.build"

[project]
name = "sample"
version = "1.0"
license-files = ["rust/LICENSE", "c/LICENSE"]

[tool.hatch.build.targets.wheel]
sbom-files = [$sboms]
END
  rm -rf dist
  echo "sbom-files = [$sboms]"
  if hatchling build -t wheel >log 2>&1; then
    python -m zipfile -l dist/*.whl | awk '/licenses|sboms/ { print "  " $1 }' | sort
  else
    grep -o 'ValueError: .*' log | sed 's/^/  /'
    grep -o 'The most likely cause.*table' log | sed 's/^/  /'
  fi
done >words
cat words
echo 'expected: two files below sboms the second time'
diff words - <<'END'
sbom-files = ["rust/bom.cdx.json"]
  sample-1.0.dist-info/licenses/c/LICENSE
  sample-1.0.dist-info/licenses/rust/LICENSE
  sample-1.0.dist-info/sboms/bom.cdx.json
sbom-files = ["rust/bom.cdx.json", "c/bom.cdx.json"]
  ValueError: A second file is being added to the wheel archive at the same path: `sample-1.0.dist-info/sboms/bom.cdx.json`.
  The most likely cause of this is an entry in the `tool.hatch.build.targets.wheel.force-include` table
END
