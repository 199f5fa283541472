"""A question that several processes ask: where each of them finds it, however pytest was started."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pytest_manylinux.cache.locks import once_per_run


def ask(folder: Path, _: int) -> str:
    """Get the result of work that leaves a mark in `folder` each time that it is done."""
    return once_per_run(folder, ("build", "a"), partial(_note, folder))


def _note(folder: Path) -> str:
    with (folder / "calls").open("a", encoding="utf-8") as file:
        file.write("x")
    return "result"
