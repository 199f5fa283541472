"""The lock file: which image each distro and builder was, for runs that must see the same again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import UsageError

NAME = "manylinux-lock.json"
_VERSION = 1


class LockedImage(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An image by the digest that its registry knows it by."""

    image: str
    digest: str


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A project's pins: by distro id, and by `policy-architecture` for builders.

    `catalogue` is the version of the catalogue that they were made with.
    """

    catalogue: str
    distros: dict[str, LockedImage] = {}
    builders: dict[str, LockedImage] = {}
    version: int = _VERSION

    @property
    def pins(self) -> dict[str, str]:
        """Digests by distro id."""
        return {name: entry.digest for name, entry in self.distros.items()}


def read_lock(path: Path) -> Lock | None:
    """The lock at `path`, None if there is no file; raises UsageError for one that is none."""
    try:
        lock = decode_json(path.read_bytes(), Lock)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{path} is no lock of images", why=str(error), remedy="pytest-manylinux catalogue pin"
        ) from error
    if lock.version != _VERSION:
        raise UsageError(
            f"{path} was written by another version of pytest-manylinux",
            why=f"its version is {lock.version}, not {_VERSION}",
            remedy="pytest-manylinux catalogue pin",
        )
    return lock


def write_lock(path: Path, lock: Lock) -> None:
    """Write it for people's eyes and for diffs: sorted, a line each. Raises ReportError."""
    content = msgspec.json.encode(lock, order="sorted")
    write_atomically(path, msgspec.json.format(content, indent=2) + b"\n")
