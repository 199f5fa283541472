#!/bin/sh
# PDM 2.29.4 ignores the build number of a wheel: of two builds of one version, it installs the one that the index names first.
#
# A wheel that was built again without a new version has a build number, the third part of its name. The wheel specification:
# it "acts as a tie-breaker if two wheel file names are the same in all other respects", sorted as a number.
# One expects 10 before 2 and 1, as pip and uv have it. PDM's key for sorting ends with the build number and never fills
# it in, so that the first link of the page wins. Indexes sort by name, or by the time of the upload: the wheel that was to be
# replaced is the one that is installed, and its digest goes into the lock file with the others.
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

mkdir dist
for build in 1 2 10; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info
  echo "build = $build" >tree/sample.py
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nBuild: %s\nTag: py3-none-any\n' $build \
    >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d dist tree >/dev/null
done

export PDM_CHECK_UPDATE=false PDM_CACHE_DIR="$folder/cache" PDM_LOG_DIR="$folder/log"
pdm --version
for order in '1 2 10' '2 10 1' '10 2 1'; do
  rm -rf project by-pip by-uv && mkdir project
  for build in $order; do
    echo "<a href=\"sample-1.0-$build-py3-none-any.whl\">sample-1.0-$build-py3-none-any.whl</a>"
  done >dist/index.html
  cat >project/pyproject.toml <<END
[project]
name = "app"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["sample"]

[[tool.pdm.source]]
name = "pypi"
type = "find_links"
url = "file://$folder/dist/index.html"
END
  (cd project && pdm venv create -q "$folder/tools/bin/python" >/dev/null 2>&1 && pdm install -q --no-self >"$folder/words" 2>&1) ||
    { cat words >&2; exit 2; }
  pip install -q --disable-pip-version-check --no-index --find-links dist/index.html --target by-pip sample 2>/dev/null
  uv pip install -q --no-cache --no-index --find-links "file://$folder/dist/index.html" --target by-uv sample
  echo "page with $order: pip $(cat by-pip/sample.py), uv $(cat by-uv/sample.py), PDM $(cat project/.venv/lib/python3*/site-packages/sample.py)"
done >all
cat all
echo 'expected: build = 10 nine times'
diff all - <<'END'
page with 1 2 10: pip build = 10, uv build = 10, PDM build = 1
page with 2 10 1: pip build = 10, uv build = 10, PDM build = 2
page with 10 2 1: pip build = 10, uv build = 10, PDM build = 10
END
