#!/bin/sh
# PDM 2.29.4 takes a wheel tagged py38-none for Python 3.8 alone: on 3.12 it is not found, though pip and uv install it.
#
# PEP 425 ends with the list of tags for CPython 3.3, which has py32-none-any, py31-none-any and py30-none-any after py33-none-any and
# py3-none-any: of code that is tagged for Python at large, that of an older release serves. packaging, pip and uv go by that, with a
# platform in the place of `any` too, as wheels have it that bring a program or a library for ctypes. PDM looks for wheels by dep-logic,
# which takes pyXY for one release unless the ABI is abi3.
# One expects a wheel from `pdm lock` for both platforms of the index. There is no candidate for either; with py3 there is.
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

for tag in py3-none-any py38-none-any py3-none-manylinux_2_17_x86_64 py38-none-manylinux_2_17_x86_64; do
  rm -rf tree && mkdir -p tree/sample-1.0.dist-info "$tag/dist" "$tag/project"
  printf 'Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n' >tree/sample-1.0.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: %s\n' $tag >tree/sample-1.0.dist-info/WHEEL
  wheel pack -d "$tag/dist" tree >/dev/null
  cat >"$tag/project/pyproject.toml" <<END
[project]
name = "app"
version = "1.0"
requires-python = ">=3.12"
dependencies = ["sample"]

[[tool.pdm.source]]
name = "pypi"
type = "find_links"
url = "file://$folder/$tag/dist"
END
  echo "$folder/tools/bin/python" >"$tag/project/.pdm-python"
done

export PDM_CHECK_UPDATE=false PDM_CACHE_DIR="$folder/cache" PDM_LOG_DIR="$folder/log"
pdm --version
told() {
  if "$@" >"$folder/output" 2>&1; then echo found; else grep -ho 'Unable to find candidates for sample' "$folder/output" | head -1; fi
}
for tag in py3-none-any py38-none-any py3-none-manylinux_2_17_x86_64 py38-none-manylinux_2_17_x86_64; do
  pip=$(told pip download -qq --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_17_x86_64 \
    --no-index -f "$tag/dist" -d got sample)
  uv=$(told uv pip install -q --dry-run --target got --python-version 3.12 --python-platform x86_64-manylinux_2_17 \
    --no-index -f "$tag/dist" sample)
  pdm=$(cd "$tag/project" && told pdm lock -q --platform=manylinux_2_28_x86_64 --python='==3.12.*' --strategy static_urls)
  echo "$tag: pip $pip, uv $uv, PDM $pdm"
done >words
cat words
echo 'expected: found twelve times'
diff words - <<'END'
py3-none-any: pip found, uv found, PDM found
py38-none-any: pip found, uv found, PDM Unable to find candidates for sample
py3-none-manylinux_2_17_x86_64: pip found, uv found, PDM found
py38-none-manylinux_2_17_x86_64: pip found, uv found, PDM Unable to find candidates for sample
END
