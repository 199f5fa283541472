"""Files that are met below a path, not named: which of them are no artifacts of the projects there.

Projects have archives and wheels for their tests to read, little projects for their tests to build, and
the sources of libraries packed beside their own.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.project import ASIDE
from pytest_manylinux.run.monorepo import is_project

ARCHIVES = (".tar.gz", ".zip")


def lies_aside(path: Path, roots: Collection[Path]) -> bool:
    """Whether a path lies in a project's folder for tests, documentation or examples.

    `roots` are the paths that were named, resolved: what is named counts wherever it lies, and so does
    all that is below it but for such folders of its own.
    """
    if ASIDE.isdisjoint(part.lower() for part in path.parts[:-1]):
        return False
    place = path.parent.resolve()
    above = [root for root in roots if place.is_relative_to(root)]
    if not above or place / path.name in roots:
        return False
    root = max(above, key=lambda one: len(one.parts))
    parts = place.relative_to(root).parts
    depths = [depth for depth, part in enumerate(parts) if part.lower() in ASIDE]
    return any(is_project(root.joinpath(*parts[:n])) for n in range(max(depths, default=-1) + 1))


def is_other_archive(path: Path) -> bool:
    """Whether an archive is no sdist: one holds FOLDER/PKG-INFO ("Source distribution format").

    What cannot be read may have been meant as one, which its own item says.
    """
    try:
        names = _names_in_zip(path) if path.suffix == ".zip" else _names_in_tar(path)
        return not any(_describes(name) for name in names)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError):
        return False


def _describes(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name == "PKG-INFO" and str(path.parent) != "." and str(path.parent.parent) == "."


def _names_in_zip(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        yield from archive.namelist()


def _names_in_tar(path: Path) -> Iterator[str]:
    """As they come: an sdist's description stands near its beginning."""
    with tarfile.open(path, mode="r|*") as archive:
        for member in archive:
            yield member.name
