"""The output of one run in a stream of a container, told from all else by a word that only we know.

The program that runs it (forks.py, standing.py) ends it with a line `WORD ANSWER`, the answer JSON.
"""

from __future__ import annotations

import json

from pytest_manylinux.engines.output import BoundedOutput

_LAST_LINE = 4096  # bytes, at most


class MarkedOutput(BoundedOutput):
    """Takes the stream, keeps the run's part.

    With `begins` there may be other runs' output before it, and a line `WORD begin` where it begins.
    """

    def __init__(self, word: str, *, begins: bool = False) -> None:
        super().__init__()
        self._mark = b"\n%s " % word.encode()
        self._begin = self._mark + b"begin\n"
        self._before: bytes | None = b"" if begins else None
        self._last = b""

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._before is not None:
            _, found, rest = (self._before + data).partition(self._begin)
            if not found:
                self._before = (self._before + data)[-len(self._begin) :]
                return
            self._before, data = None, rest
        super().write(data)
        self._last = (self._last + data)[-_LAST_LINE:]

    def is_complete(self) -> bool:
        """Whether the last line has come."""
        return self._mark in self._last and self._last.endswith(b"\n")

    def value(self) -> bytes:
        """What was kept of the run's own output."""
        whole = super().value()
        return whole.rpartition(self._mark)[0] if self._mark in whole else whole

    def answer(self) -> dict[str, object]:
        """What the last line says; nothing if there is none."""
        try:
            answer = json.loads(super().value().rpartition(self._mark)[2])
        except ValueError:
            return {}
        return answer if self.is_complete() and isinstance(answer, dict) else {}
