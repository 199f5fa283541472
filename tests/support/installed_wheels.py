"""Wheels of pure Python distributions that are installed here: a real pytest without an index."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from wheels import build_wheel


def pack_installed(folder: Path, *names: str) -> Path:
    """Pack distributions, and what they require on Linux with a current Python, into `folder`."""
    wanted, done = list(names), set[str]()
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        done.add(name)
        wanted += _pack(folder, name)
    return folder


def _pack(folder: Path, name: str) -> list[str]:
    """Pack one; gives the names of what it requires."""
    found = distribution(name)
    requires = [Requirement(text) for text in found.requires or ()]
    requires = [one for one in requires if one.marker is None or one.marker.evaluate({"extra": ""})]
    files = {
        path.as_posix(): found.locate_file(path).read_bytes()  # type: ignore[attr-defined]
        for path in found.files or ()
        if path.suffix != ".pyc" and ".dist-info" not in path.parts[0] and path.parts[0] != ".."
    }
    scripts = {one.name: one.value for one in found.entry_points if one.group == "console_scripts"}
    build_wheel(
        folder,
        files,
        name=name,
        version=found.version,
        requires=[str(one) for one in requires],
        entry_points=scripts,
    )
    return [one.name for one in requires]
