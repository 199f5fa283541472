"""A size-bounded cache on disk: one checksummed file for each value, and keys over what decides it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.cache.integrity import sealed, unsealed
from pytest_manylinux.cache.least_recently_used import CacheEntry, remove_surplus
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.decoding import json_decoder
from pytest_manylinux.errors import ReportError

_T = TypeVar("_T")
_LOCK = ".lock"  # one for all values whose keys begin alike


def key_of(*parts: object) -> str:
    """A hexadecimal SHA-256 over values that JSON has a form for (msgspec), in their order."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


@cache
def code_version(*rooms: str) -> str:
    """A hexadecimal SHA-256 over all files of rooms of this package, such as `building.inside`.

    It belongs into the key of what these rooms made: other code might make something else.
    """
    digest = hashlib.sha256()
    for room in rooms:
        folder = files("pytest_manylinux").joinpath(*room.split("."))
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.is_file() and not file.name.endswith(".pyc"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


class ValueCache(Generic[_T]):
    """Values of one type below `root`, by keys that are hexadecimal digests.

    `fresh` recalls nothing, but keeps what is new. `limit` is in bytes, and held by `prune`. `encode`
    and `decode` are msgspec's hooks for types that JSON has no form for.
    """

    def __init__(
        self,
        root: Path,
        kind: type[_T],
        *,
        limit: int,
        fresh: bool = False,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[type, Any], Any] | None = None,
    ) -> None:
        self._root = root
        self._limit = limit
        self._fresh = fresh
        self._encoder = msgspec.json.Encoder(enc_hook=encode)
        self._decoder = json_decoder(kind, decode)

    def recall(self, key: str) -> _T | None:
        """What was kept under this key; None if nothing was, or it can no longer be read."""
        return None if self._fresh else self._read(key)

    def _read(self, key: str) -> _T | None:
        path = self._path(key)
        try:
            content = unsealed(key, path.read_bytes())
            if content is None:
                return None
            value = self._decoder.decode(content)
            os.utime(path)
        except (OSError, msgspec.MsgspecError):
            return None
        return value

    def keep(self, key: str, value: _T) -> None:
        """Keep a value; a cache that cannot be written keeps nothing, nor what was there before."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, sealed(key, self._encoder.encode(value)))
        except (OSError, ReportError):
            with contextlib.suppress(OSError):
                path.unlink()

    def change(self, key: str, change: Callable[[_T | None], _T]) -> _T:
        """Keep what `change` makes of the value that is there, even with `fresh`, and give it.

        Nobody else changes the same value meanwhile, in this process or another one. Where no lock can
        be had, because nothing can be written there, nothing is kept. Raises RunEndedError.
        """
        with contextlib.ExitStack() as stack:
            folder = self._path(key).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(in_turn(folder / _LOCK))
            except OSError:
                return change(self._read(key))
            value = change(self._read(key))
            self.keep(key, value)
            return value

    def forget(self, wanted: Callable[[_T], bool]) -> tuple[_T, ...]:
        """Remove the values that are wanted, and give them. Raises OSError."""
        gone = []
        for path in sorted(self._root.glob("*/*.json")):
            value = self._read(path.stem)
            if value is not None and wanted(value):
                path.unlink(missing_ok=True)
                gone.append(value)
        return tuple(gone)

    def prune(self) -> None:
        """Forget the least recently used until the rest fits the limit."""
        with contextlib.suppress(OSError):
            if sum(max(1, status.st_size) for _, status in self._files()) > self._limit:
                found = (
                    CacheEntry(path=Path(path), size=max(1, status.st_size), used=status.st_mtime)
                    for path, status in self._files()
                )
                remove_surplus(found, max_size=self._limit)

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """What is kept. There may be ten thousands, for which objects of pathlib take long."""
        for folder in os.scandir(self._root):
            for file in os.scandir(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                with contextlib.suppress(FileNotFoundError):
                    if file.name.endswith(".json"):
                        yield file.path, file.stat(follow_symlinks=False)

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.json"
