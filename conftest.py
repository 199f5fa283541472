"""What every test of this repository shares."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

# Fast ones first, so that a mistake shows early; the folders' order by name would not do that.
_ORDER = ("unit", "plugin", "conformance", "integration")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = config.rootpath / "tests"

    def place(item: pytest.Item) -> int:
        path = Path(item.path)
        kind = path.relative_to(tests).parts[0] if path.is_relative_to(tests) else ""
        return _ORDER.index(kind) if kind in _ORDER else 0

    items.sort(key=place)
