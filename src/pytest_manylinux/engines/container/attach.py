"""The raw stream under an attach or exec request of the Docker API.

The answer "101 UPGRADED" turns the connection into a stream. Output comes in frames of eight bytes
(stream, three zeros, length as a big-endian 32-bit number) and a payload: the Docker Engine API
reference, "Attach to a container".
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from pytest_manylinux.engines.api import LONGEST_WAIT, Sink

_CHUNK = 1 << 16
_HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2
_PAUSE = 0.02  # seconds


class Hijacked:
    """A connection that the Docker SDK handed over (`socket=True`)."""

    def __init__(self, handed_over: Any) -> None:  # noqa: ANN401 - one of several kinds, by transport
        # The SDK gives the file or socket below its HTTP response, whose buffer may have read ahead.
        self._response = handed_over._response  # noqa: SLF001 - kept there by the SDK
        self._socket: socket.socket = getattr(handed_over, "_sock", handed_over)
        self._socket.settimeout(0)
        self._early = b""
        self._broken = False
        with contextlib.suppress(ssl.SSLWantReadError):
            self._early = self._response.raw._fp.fp.read1(_CHUNK) or b""  # noqa: SLF001

    @property
    def broken(self) -> bool:
        """Whether the connection was lost, so that what was received need not be all that was sent."""
        return self._broken

    def receive(self, seconds: float) -> bytes | None:
        """The next bytes; empty at the end; None if nothing came within `seconds`."""
        if self._early:
            early, self._early = self._early, b""
            return early
        end = time.monotonic() + seconds
        while True:
            try:
                return self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                if not self._wait(select.POLLIN, end - time.monotonic()):
                    return None
            except OSError:  # reset by the daemon, or closed by another thread of ours
                self._broken = True
                return b""

    def send(self, content: IO[bytes], deadline: float) -> None:
        """Write all of `content`, then end the input; raises TimeoutError, ConnectionError."""
        while chunk := content.read(_CHUNK):
            self.write(chunk, deadline)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def write(self, content: bytes, deadline: float) -> None:
        """Write `content` and leave the input open; raises TimeoutError, ConnectionError."""
        view = memoryview(content)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                if not self._wait(select.POLLOUT, deadline - time.monotonic()):
                    raise TimeoutError from None

    def _wait(self, event: int, seconds: float) -> bool:
        if self._socket.fileno() < 0:  # closed meanwhile, which the next call will say
            return True
        poll = select.poll()
        poll.register(self._socket, event)
        return seconds > 0 and bool(poll.poll(min(seconds, LONGEST_WAIT) * 1000))

    def hang_up(self) -> None:
        """End it for whoever is receiving in another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up, and forget it."""
        self.hang_up()
        self._response.close()
        self._socket.close()


class Frames:
    """Sorts a stream of frames, cut anywhere, into the sinks of its streams."""

    def __init__(self, sinks: Mapping[int, Sink]) -> None:
        self._sinks = sinks
        self._header = b""
        self._left = 0
        self._sink: Callable[[bytes], object] = _ignore

    @property
    def cut(self) -> bool:
        """Whether the stream, if this was all of it, ended within a frame."""
        return bool(self._left or self._header)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            if self._left == 0:
                missing = _HEADER.size - len(self._header)
                self._header += bytes(view[:missing])
                view = view[missing:]
                if len(self._header) == _HEADER.size:
                    stream, self._left = _HEADER.unpack(self._header)
                    self._sink = self._sinks.get(stream, _ignore)
                    self._header = b""
            else:
                payload = bytes(view[: self._left])
                view = view[len(payload) :]
                self._left -= len(payload)
                self._sink(payload)


def drain(
    stream: Hijacked, frames: Frames, seconds: float, *, until: Callable[[], bool] = lambda: False
) -> bool:
    """Take what a daemon has still to deliver when what wrote it has ended.

    Whether that came whole within `seconds`: up to the stream's end, or until `until` says so.
    """
    end = time.monotonic() + seconds
    while not until():
        data = stream.receive(end - time.monotonic())
        if data == b"":
            return is_whole(stream, frames)
        if data is None or time.monotonic() > end:
            return False
        frames.feed(data)
    return True


def is_whole(stream: Hijacked, frames: Frames) -> bool:
    """Whether a stream that has ended did so as a daemon ends one: not broken off, not in a frame."""
    return not stream.broken and not frames.cut


def exit_code_of(
    inspect: Callable[[], Mapping[str, Any]],
    deadline: float,
    *,
    gone: Callable[[], bool] = lambda: False,
) -> int | None:
    """The exit code of an exec whose stream has ended; `inspect` asks the daemon for its facts.

    The daemon may learn it a little after the stream's end, and a command may close its outputs long
    before its own: so it is asked until it tells, until `deadline` (time.monotonic()), or until the
    container is `gone`. None then.
    """
    while True:
        facts = inspect()
        if not facts["Running"] and facts["ExitCode"] is not None:
            return int(facts["ExitCode"])
        if gone() or time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)


def _ignore(data: bytes) -> None:
    del data
