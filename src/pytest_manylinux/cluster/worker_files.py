"""What a worker keeps of other machines' wheels: files by digest, and folders of them.

    wheels/<sha256>/<file name>     one wheel
    folders/<digest>/wheels/        what a wheel depends on: links to files of wheels/
    aside/                          what is on its way

Several workers of one machine share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pytest_manylinux.cache.directories import aside_folder, make_once, sweep
from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.cache.least_recently_used import entries, surplus
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.cache.paths import store_errors
from pytest_manylinux.cluster.protocol import Part
from pytest_manylinux.errors import StoreError

LIMIT = 20 * 1024**3
"""Bytes of wheels, the least recently used removed first."""

Stream = Callable[[str], Iterable[bytes]]


class WorkerFiles:
    """The files below `root`."""

    def __init__(self, root: Path, *, limit: int = LIMIT) -> None:
        self._root = root
        self._limit = limit
        self._sound: set[str] = set()

    def wheel(self, part: Part, stream: Stream) -> Path:
        """Give a file, brought by `stream` if it is not here, once however many ask.

        Raises StoreError if other bytes come, and what `stream` raises.
        """
        place = self._root / "wheels" / part.sha256 / part.filename
        with store_errors(self._root), self._lock(part.sha256):
            if not self._is_sound(place, part.sha256):
                self._bring(place, part, stream)
            os.utime(place)
            self._sound.add(part.sha256)
        return place

    def folder(self, parts: Sequence[Part], stream: Stream) -> Path:
        """Give a folder with exactly these files."""
        words = "\n".join(f"{part.sha256} {part.filename}" for part in parts)
        place = self._root / "folders" / hashlib.sha256(words.encode()).hexdigest()
        wheels = [self.wheel(part, stream) for part in parts]

        def fill(folder: Path) -> None:
            (folder / "wheels").mkdir()
            for wheel in wheels:
                os.link(wheel, folder / "wheels" / wheel.name)

        return make_once(place, fill) / "wheels"

    def prune(self) -> None:
        """Remove what was used the longest ago until the rest fits; folders go, and are made anew."""
        with contextlib.suppress(OSError, StoreError):
            sweep(self._root / "aside")
            going = tuple(surplus(entries(self._root.glob("wheels/*/*")), max_size=self._limit))
            if going:
                shutil.rmtree(self._root / "folders", ignore_errors=True)
            for wheel in going:
                shutil.rmtree(wheel.path.parent, ignore_errors=True)

    def _bring(self, place: Path, part: Part, stream: Stream) -> None:
        with aside_folder(self._root / "aside") as aside:
            fresh = aside / part.filename
            digest = hashlib.sha256()
            with fresh.open("wb") as file:
                for piece in stream(part.sha256):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != part.sha256:
                raise StoreError(
                    f"{part.filename} came with other bytes than those that were asked for",
                    why=f"its SHA-256 is {digest.hexdigest()}, not {part.sha256}",
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(place)

    def _is_sound(self, place: Path, sha256: str) -> bool:
        """Whether the file is here with the right bytes; they are read once in a worker's life."""
        if not place.is_file():
            return False
        if sha256 in self._sound:
            return True
        return file_digest(place) == sha256

    def _lock(self, name: str) -> AbstractContextManager[None]:
        folder = self._root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return in_turn(folder / f"{name}.lock")
