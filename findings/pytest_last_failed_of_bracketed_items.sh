#!/bin/sh
# pytest 9.2's --lf does not find a plugin's item again that has brackets in its name; pytest 9.1 does.
#
# Node ids have parts from 9.2 on: path, names, parameters. An item that is made with `name="check[one]"` has that as a
# name; the same id read back from the cache has the name `check` and the parameter `one`. --lf compares parts, so it
# says "1 known failure not in selected tests" and runs all. One expects the failed item alone. Functions that are
# parametrized are not concerned: pytest makes their ids of parts itself.
#
# Wants: python3 with venv, a package index. Ends with 0 while 9.2.0 runs both items and 9.1.1 the failed one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir tests
touch tests/a.check
cat >tests/conftest.py <<'END'
import pytest


class Item(pytest.Item):
    def runtest(self):
        assert self.name != "check[one]"


class File(pytest.File):
    def collect(self):
        for name in ("check[one]", "check[two]"):
            yield Item.from_parent(self, name=name)


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".check":
        return File.from_parent(parent, path=file_path)
END

python3 --version
echo "expected: --lf runs check[one] alone"
seen=""
for version in 9.1.1 9.2.0; do
  python3 -m venv "by-$version"
  "by-$version/bin/python" -m pip install -q --disable-pip-version-check "pytest==$version"
  "by-$version/bin/pytest" -q tests >/dev/null 2>&1 || true
  words=$("by-$version/bin/pytest" -q --lf --collect-only tests 2>&1 || true)
  count=$(echo "$words" | grep -c 'a.check::check')
  echo "seen:     pytest $version: $count of 2 items"
  seen="$seen $count"
  rm -rf .pytest_cache tests/.pytest_cache
done
[ "$seen" = " 1 2" ]
