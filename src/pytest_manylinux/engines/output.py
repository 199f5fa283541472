"""What a command or a run prints, kept within a bound, and how it ends.

The output of a run of a preloaded process comes in a stream with others', told from all else by a word
that only we know.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pytest_manylinux.engines.api import MIB, Completed, OutputListener, Sink, Status
from pytest_manylinux.errors import SandboxError

BOUND = 8 * MIB
"""Bytes kept of each of stdout and stderr: the first half and the last half of it."""

INCOMPLETE = b"\n[the output may be incomplete: the engine did not deliver its end]\n"
"""The last words on a stderr whose end, or whose stdout's end, was lost between the command and us."""

_GAP = b"\n[... %d bytes left out ...]\n"


class BoundedOutput:
    """Takes any number of bytes, keeps the first and the last `bound // 2`."""

    def __init__(self, bound: int = BOUND) -> None:
        self._half = bound // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Take `data`; drop from the middle what is over the bound."""
        room = self._half - len(self._head)
        self._head += data[:room]
        rest = data[room:]
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size > self._half:
            self._drop(self._tail_size - self._half)

    def _drop(self, surplus: int) -> None:
        oldest = self._tail.popleft()
        if len(oldest) > surplus:
            self._tail.appendleft(oldest[surplus:])
            oldest = oldest[:surplus]
        self._tail_size -= len(oldest)
        self._dropped += len(oldest)

    @property
    def truncated(self) -> bool:
        """Whether anything was dropped."""
        return self._dropped > 0

    def value(self) -> bytes:
        """What was kept, with a line in the middle that counts what was not."""
        gap = _GAP % self._dropped if self._dropped else b""
        return bytes(self._head) + gap + b"".join(self._tail)


def tee(output: BoundedOutput, listener: OutputListener | None) -> Sink:
    """A sink that feeds `output` and, if there is one, the `listener`."""
    if listener is None:
        return output.write

    def write(data: bytes) -> None:
        output.write(data)
        listener(data)

    return write


class MarkedOutput(BoundedOutput):
    """Takes the stream of a preloaded process (preloaded_main.py), keeps the run's part.

    There may be others' output before it, and a line `WORD begin` where it begins. What follows the
    last line is none of it.
    """

    def __init__(self, word: str) -> None:
        super().__init__()
        self._mark = b"\n%s " % word.encode()
        self._begin = self._mark + b"begin\n"
        self._has_begun = False
        self._held = b""  # what may be the beginning of a mark
        self._last: bytes | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if self.is_complete():
            return
        window = self._held + data
        if not self._has_begun:
            _, found, rest = window.partition(self._begin)
            if not found:
                self._held = window[-len(self._begin) :]
                return
            self._has_begun, window = True, rest
        mark = window.find(self._mark)
        if mark < 0:
            mark = max(len(window) - len(self._mark) + 1, 0)
        elif (end := window.find(b"\n", mark + len(self._mark))) >= 0:
            self._last = window[mark + len(self._mark) : end]
        super().write(window[:mark])
        self._held = window[mark:]

    def is_complete(self) -> bool:
        """Whether the last line has come."""
        return self._last is not None

    def value(self) -> bytes:
        """What was kept of the run's own output."""
        return super().value() + (self._held.partition(self._mark)[0] if self._has_begun else b"")

    def answer(self) -> dict[str, object]:
        """What the last line says; nothing if there is none."""
        try:
            answer = json.loads(self._last or b"")
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How listening ended: whether in time, and whether all was heard that was said until then."""

    in_time: bool
    whole: bool


Ending: TypeAlias = tuple[Status, "int | None"]
"""With the exit code of what EXITED, the signal of what was SIGNALLED."""


def ending_of(answer: Mapping[str, object], what: str) -> Ending:
    """What {"exit_code": n}, {"signal": n}, {"failed": words} or anything else tells: it was LOST.

    Raises SandboxError, whose first words are `what`, for what failed.
    """
    match answer:
        case {"exit_code": int(code)}:
            return Status.EXITED, code
        case {"signal": int(number)}:
            return Status.SIGNALLED, number
        case {"failed": str(words)}:
            raise SandboxError(what, why=words)
        case _:
            return Status.LOST, None


def completed(
    ending: Ending,
    stdout: BoundedOutput,
    stderr: BoundedOutput,
    *,
    started: float,
    whole: bool = True,
) -> Completed:
    """All of it; `started` is when, by time.monotonic(), `whole` whether no output was lost."""
    status, number = ending
    return Completed(
        status=status,
        exit_code=number if status is Status.EXITED else None,
        signal=number if status is Status.SIGNALLED else None,
        stdout=stdout.value(),
        stderr=stderr.value() + (b"" if whole else INCOMPLETE),
        truncated=stdout.truncated or stderr.truncated,
        duration=time.monotonic() - started,
        output_complete=whole,
    )
