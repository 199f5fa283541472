"""What is remembered is bound to the code that did it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.cache import values


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A room `a`, with one inside it."""
    folder = tmp_path / "a"
    (folder / "inside").mkdir(parents=True)
    (folder / "one.py").write_text("1")
    (folder / "inside/two.py").write_text("2")
    monkeypatch.setattr(values, "files", lambda _: tmp_path)
    return folder


def digest(*rooms: str) -> str:
    return values.code_version.__wrapped__(*rooms)


def test_each_file_of_the_named_rooms_counts(room: Path) -> None:
    first, both = digest("a"), digest("a", "a.inside")
    assert len(first) == 64
    (room / "inside/two.py").write_text("3")
    assert digest("a") == first
    assert digest("a", "a.inside") != both
    (room / "data.toml").write_text("x = 1")
    assert digest("a") != first


def test_what_python_compiles_does_not_count(room: Path) -> None:
    first = digest("a")
    (room / "one.cpython-311.pyc").write_bytes(b"compiled")
    assert digest("a") == first


def test_the_rooms_of_this_package_are_found() -> None:
    names = ("trials", "trials.inside", "building", "building.inside", "inspect", "model")
    assert len({values.code_version(name) for name in names}) == len(names)
