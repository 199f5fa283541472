"""The output of one run in a stream of a container, told from all else by a word that only we know.

The program that runs it (preloaded_main.py, standby_main.py) ends it with a line `WORD ANSWER`, the
answer in JSON.
"""

from __future__ import annotations

import json

from pytest_manylinux.engines.output import BoundedOutput

_LAST_LINE = 4096  # bytes, at most


class MarkedOutput(BoundedOutput):
    """Takes the stream, keeps the run's part.

    There may be others' output before it, and a line `WORD begin` where it begins. What follows the
    last line is none of it.
    """

    def __init__(self, word: str) -> None:
        super().__init__()
        self._mark = b"\n%s " % word.encode()
        self._begin = self._mark + b"begin\n"
        self._before: bytes | None = b""
        self._last = b""
        self._complete = False

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._before is not None:
            _, found, rest = (self._before + data).partition(self._begin)
            if not found:
                self._before = (self._before + data)[-len(self._begin) :]
                return
            self._before, data = None, rest
        if self._complete:
            return
        window = self._last + data
        mark = window.find(self._mark)
        end = window.find(b"\n", mark + len(self._mark)) + 1 if mark >= 0 else 0
        if end:
            self._complete, data = True, data[: end - len(self._last)]
        super().write(data)
        self._last = window[-_LAST_LINE:]

    def is_complete(self) -> bool:
        """Whether the last line has come."""
        return self._complete

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


class RunOutput:
    """Both outputs of a run. Each has a mark of its own, since a daemon may be behind with either."""

    def __init__(self, word: str) -> None:
        self.stdout = MarkedOutput(word)
        self.stderr = MarkedOutput(word)

    def has_ended(self) -> bool:
        """Whether the last line of one of them has come: the run has ended, the other is to come."""
        return self.stdout.is_complete() or self.stderr.is_complete()

    def is_complete(self) -> bool:
        """Whether the last lines of both have come."""
        return self.stdout.is_complete() and self.stderr.is_complete()
