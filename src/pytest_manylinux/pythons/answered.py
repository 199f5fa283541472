"""Which Python a distro's program turned out to be, where its catalogue row speaks of another.

The `python3` of a rolling distro changes its release any day. What a run saw is kept in the cache, and
the next one plans for what is there; a row that has caught up, or an image that went back, ends that.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import ReportError
from pytest_manylinux.model.distro import InterpreterOrigin, Target

NAME = "answered-pythons.json"
"""In the cache: versions such as `3.14` by distro, architecture, program and pinned digest."""


class AnsweredPythons:
    """What was seen to differ from the rows. `pins` are digests by distro id. Thread-safe."""

    def __init__(self, folder: Path, pins: Mapping[str, str]) -> None:
        self._file = folder / NAME
        self._pins = pins
        self._lock = threading.Lock()
        self._known = self._read()

    def target(self, planned: Target) -> Target:
        """The target by what answered when it was last tried; itself where that is not known."""
        if planned.interpreter.origin is not InterpreterOrigin.DISTRO:
            return planned
        return planned.answered_by(self._known.get(self._key(planned), ""))

    def keep(self, target: Target, version: str) -> None:
        """Note the release (`3.14`) of the Python that a target's image has; empty if it is not known.

        A cache that cannot be written keeps nothing: the next run plans by the row.
        """
        if target.interpreter.origin is not InterpreterOrigin.DISTRO or not version:
            return
        key, program = self._key(target), target.interpreter.executable
        rows = (entry for entry in target.distro.interpreters if entry.executable == program)
        as_row_says = any(row.version.dotted == version for row in rows)
        with self._lock:
            if self._known.get(key) == (None if as_row_says else version):
                return
            known = {**self._read(), key: version}  # another run may have added to it
            if as_row_says:
                del known[key]
            self._known = known
            with contextlib.suppress(ReportError):
                write_atomically(self._file, msgspec.json.encode(known, order="sorted"))

    def _key(self, target: Target) -> str:
        pin = self._pins.get(target.distro.id, "")
        return f"{target.distro.id} {target.arch} {target.interpreter.executable} {pin}".strip()

    def _read(self) -> dict[str, str]:
        try:
            return decode_json(self._file.read_bytes(), dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return {}
