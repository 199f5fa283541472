"""A Debian root's package database: what is installed, so which root it is, and whether it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_manylinux.cache.integrity import is_as_sealed, is_sealed
from pytest_manylinux.errors import StoreError
from pytest_manylinux.model.distro import ImageSource

if TYPE_CHECKING:
    from pytest_manylinux.images.store import StoredImage


Packages = tuple[tuple[str, str], ...]


def installed_packages(root: Path) -> Packages:
    """(name, version) of every installed package, sorted; raises StoreError if there is no list."""
    status = root / "var/lib/dpkg/status"
    try:
        text = status.read_text("utf-8", errors="replace")
    except OSError as error:
        raise StoreError(f"no package list in {root}", why=str(error)) from error
    return tuple(sorted(_installed(text)))


def identity(arch: str, packages: Iterable[tuple[str, str]]) -> str:
    """The digest of a root: sha256 over architecture and the sorted `name=version` lines."""
    lines = [arch, *sorted(f"{name}={version}" for name, version in packages)]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _installed(text: str) -> Iterator[tuple[str, str]]:
    for stanza in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.splitlines()
            if ": " in line and not line.startswith((" ", "\t"))
        )
        if fields.get("Status", "").endswith(" installed"):
            yield fields["Package"], fields["Version"]


_INFO = "var/lib/dpkg/info"


def verify(stored: StoredImage) -> Iterator[str]:
    """A sentence for each fault of an image; none if it is sound."""
    root = stored.folder / "root"
    if stored.record.origin != ImageSource.ARCHIVE.value:
        if not is_as_sealed(stored.folder):
            yield "a file, or the image's record, has changed"
        return
    try:
        packages = installed_packages(root)
    except StoreError as error:
        yield str(error)
        return
    if identity(stored.record.arch, packages) != stored.record.digest:
        yield "the list of installed packages has changed"
    named = list(changed_files(root))
    yield from named
    if not named and is_sealed(stored.folder) and not is_as_sealed(stored.folder):
        yield "a file that no package owns, or the image's record, has changed"


def changed_files(root: Path) -> Iterator[str]:
    """A sentence for each packaged file that is not as dpkg's checksums have it.

    What packages made at installation (bytecode, caches, configuration) has no checksum there.
    """
    diverted = _diverted(root)
    for sums in sorted((root / _INFO).glob("*.md5sums")):
        for line in sums.read_text("utf-8").splitlines():
            expected, _, name = line.partition("  ")
            if name not in diverted and (fault := _fault(root / name, expected)):
                yield f"/{name} {fault}"


def _fault(path: Path, expected: str) -> str:
    if path.is_symlink():
        return ""
    digest = hashlib.md5(usedforsecurity=False)  # the sum that dpkg keeps
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if digest.hexdigest() == expected else "has changed"


def _diverted(root: Path) -> frozenset[str]:
    """Paths that another package's file took the place of (dpkg-divert(1))."""
    try:
        lines = (root / "var/lib/dpkg/diversions").read_text("utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(name.lstrip("/") for name in lines[::3])
