"""What a command prints, kept within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pytest_manylinux.engines.api import MIB, OutputListener

Sink = Callable[[bytes], object]
"""Takes output as it comes."""

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
