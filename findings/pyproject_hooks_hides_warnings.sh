#!/bin/sh
# pyproject_hooks 1.3.3 shows a back end's UserWarning and drops its other warnings; 1.2.0 shows them all.
#
# A build back end (PEP 517) tells maintainers of coming changes by warnings such as FutureWarning. One expects a front end
# to show what the back end wrote to standard error, whatever the kind of warning, and all the more if the hook fails.
# With 1.3.3 a FutureWarning of a hook is not seen, and no warning at all is where the hook ends with an error.
#
# Wants: python3 with venv, a package index. Ends with 0 while the two releases differ so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >backend.py <<'P'
import warnings


def build_wheel(folder, config_settings=None, metadata_directory=None):
    warnings.warn("of the user", UserWarning)
    warnings.warn("of the future", FutureWarning)
    return "demo-1.0-py3-none-any.whl"


class failing:
    @staticmethod
    def build_wheel(folder, config_settings=None, metadata_directory=None):
        warnings.warn("before the end", UserWarning)
        raise RuntimeError("no wheel")
P
cat >front.py <<'P'
import sys

from pyproject_hooks import BuildBackendHookCaller

try:
    BuildBackendHookCaller(".", sys.argv[1], ["."]).build_wheel("out")
except Exception:
    pass
P
python3 --version
seen=""
for version in 1.2.0 1.3.3; do
  python3 -m venv "v$version"
  "v$version/bin/python" -m pip install -q --disable-pip-version-check "pyproject_hooks==$version"
  for backend in backend backend:failing; do
    "v$version/bin/python" front.py "$backend" >words 2>&1
    for word in "of the user$" "of the future$" "before the end$"; do
      if grep -q "Warning: $word" words; then
        echo "seen:     pyproject_hooks $version, $backend: ${word%$}"
        seen="$seen $version/${word%$}"
      fi
    done
  done
done
echo "expected: both releases show all three"
[ "$seen" = " 1.2.0/of the user 1.2.0/of the future 1.2.0/before the end 1.3.3/of the user" ]
