"""Putting a wheel where the user wants it: whole or not at all, and never over another one."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from pytest_manylinux.cache.atomic import draft
from pytest_manylinux.errors import StoreError


def put(wheel: Path, wheelhouse: Path) -> Path:
    """Copy a wheel into the wheelhouse; the same bytes under that name are fine, others are not.

    Raises StoreError for a file of that name with other bytes, and for a folder that cannot be
    written.
    """
    target = wheelhouse / wheel.name
    try:
        wheelhouse.mkdir(parents=True, exist_ok=True)
        with draft(wheelhouse) as copy, wheel.open("rb") as content:
            shutil.copyfileobj(content, copy.stream)
            try:
                copy.become(target)
            except FileExistsError:
                _check_same(wheel, target)
    except OSError as error:
        raise StoreError(
            f"the wheel cannot be put into {wheelhouse}",
            why=str(error),
            remedy="make room there, or set another wheelhouse",
        ) from error
    return target


def native_wheel(wheelhouse: Path, name: str, version: str) -> str:
    """The name of some wheel of this release with a platform tag in the wheelhouse, or nothing."""
    for path in sorted(wheelhouse.glob("*.whl")):
        try:
            its_name, its_version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        same = its_name == name and str(its_version) == version
        if same and any(tag.platform != "any" for tag in tags):
            return path.name
    return ""


def _check_same(ours: Path, theirs: Path) -> None:
    if not filecmp.cmp(ours, theirs, shallow=False):
        raise StoreError(
            f"{theirs} is there already, with other bytes",
            why="a wheel is never overwritten: it may have been proven, or uploaded, as it is",
            remedy="move it away, set another wheelhouse, or give the project a new version",
        )
