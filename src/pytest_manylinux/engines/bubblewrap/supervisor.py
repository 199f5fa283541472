"""The owner's side of a supervisor (supervisor_main.py has the protocol): start it, ask it, end it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_manylinux.engines.api import LONGEST_WAIT, Sink
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.architecture import registering
from pytest_manylinux.host.shutdown import Closeable

_PROGRAM = Path(__file__).parents[1] / "inside" / "supervisor_main.py"
_KEPT = ("LD_LIBRARY_PATH",)  # some Pythons do not start without
_CHUNK = 1 << 16
_END_TIMEOUT = 15.0


_ALONE = ("-I", "-S", "-X", "utf8")  # nothing of the user's own


class DeadlineError(Exception):
    """No answer in time."""


class Supervisor:
    """A running supervisor. Thread-safe: each request brings its own channels.

    With a `registration` it is in a user namespace in which that emulator is registered.
    """

    def __init__(self, registration: str = "") -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [*registering(registration), sys.executable, *_ALONE, str(_PROGRAM), str(number)],
                pass_fds=[number],
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for pytest, which then closes its sandboxes
            )

    def ask(
        self,
        request: Mapping[str, object],
        *,
        timeout: float,
        stdin: int | None = None,
        sinks: Sequence[Sink] = (),
    ) -> dict[str, object]:
        """Send `request` and wait for the answer; a command's output goes to the sinks as it comes.

        An empty answer means that the supervisor is gone. Raises DeadlineError after `timeout` seconds,
        SandboxError if the supervisor cannot be reached, and whatever a sink raises.
        """
        with self.begin(request, stdin=stdin, outputs=len(sinks)) as asked:
            if not asked.take(sinks, timeout=timeout):
                raise DeadlineError
            return asked.answer()

    def begin(
        self, request: Mapping[str, object], *, stdin: int | None = None, outputs: int = 2
    ) -> PendingRequest:
        """Send `request`, of a command with an open file `stdin` (None: empty) if there are `outputs`.

        Raises SandboxError if the supervisor cannot be reached.
        """
        with contextlib.ExitStack() as theirs:
            files = [_in_memory(request, theirs)]
            if outputs and stdin is None:
                stdin = theirs.enter_context(_closing(os.open(os.devnull, os.O_RDONLY)))
            files += [stdin] if stdin is not None else []
            pipes = [os.pipe() for _ in range(outputs + 1)]
            files += [theirs.enter_context(_closing(end)) for _, end in pipes]
            asked = PendingRequest([end for end, _ in pipes])
            try:
                socket.send_fds(self._socket, [b"r"], files)
            except BaseException as error:
                asked.close()
                if isinstance(error, OSError):
                    raise SandboxError("the sandbox has ended", why=str(error)) from error
                raise
        return asked

    def hang_up(self) -> None:
        """Have the sandbox ended; the supervisor kills what is in it at once, and is not waited for."""
        with contextlib.suppress(OSError):
            # A fork of this process may hold the socket open too: end the conversation itself.
            self._socket.shutdown(socket.SHUT_RDWR)

    def has_ended(self) -> bool:
        """Whether it is gone, killed perhaps."""
        return self._process.poll() is not None

    def discard(self) -> None:
        """End it at once, which no sandbox was asked of."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Hang up; return when the sandbox and everything in it is gone."""
        self.hang_up()
        self._socket.close()
        try:
            self._process.wait(_END_TIMEOUT)
        except (
            subprocess.TimeoutExpired
        ):  # stopped, say; with it goes bubblewrap, and all that is inside
            self._process.kill()
            self._process.wait()


class SpareSupervisor(Closeable):
    """A supervisor that is started before it is wanted: a Python takes as long as bubblewrap to start.

    There is one from the beginning, and a next one when it is asked for. Thread-safe. Whoever forgets
    to close this leaves no process behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Supervisor] | None = []
        self._forgotten = weakref.finalize(self, _discard, self._waiting)
        self._forgotten.atexit = False  # the kernel closes the socket then
        self.prepare()

    def prepare(self) -> None:
        """Start one, unless one waits; not if this is closed."""
        with self._lock:
            if self._waiting == []:
                self._waiting.append(Supervisor())

    def take(self, registration: str = "") -> Supervisor:
        """A supervisor, the caller's from now on; with a `registration` none that has waited."""
        with self._lock:
            spare = self._waiting.pop() if self._waiting and not registration else None
        if spare is not None and spare.has_ended():
            spare.discard()
            spare = None
        return spare or Supervisor(registration)

    def close(self) -> None:
        """End the one that waits; none is started any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        _discard(waiting or [])


def _discard(waiting: list[Supervisor]) -> None:
    while waiting:
        waiting.pop().discard()


class PendingRequest(Closeable):
    """A request that was sent: our ends of the pipes for a command's outputs, and for the answer."""

    def __init__(self, pipes: Sequence[int]) -> None:
        self._pipes = tuple(pipes)
        self._answer = bytearray()
        for file in pipes:
            os.set_blocking(file, False)

    def take(
        self, sinks: Sequence[Sink], *, timeout: float, until: Callable[[], bool] = lambda: False
    ) -> bool:
        """Feed the sinks until the answer has come, or `until` says so; false if that took too long.

        In the end, in time or not, with what the outputs' pipes hold by then. A pipe has all that was
        written to it before, so that this is everything. What goes on writing, a process that a command
        has left behind, is not waited for.
        """
        deadline = time.monotonic() + timeout
        readers = dict(zip(self._pipes, (*sinks, self._answer.extend), strict=True))
        poll, open_ends = select.poll(), set(self._pipes)
        for file in self._pipes:
            poll.register(file, select.POLLIN)
        in_time = True
        while self._pipes[-1] in open_ends and in_time and not until():
            in_time = (remaining := deadline - time.monotonic()) > 0
            for file, _ in poll.poll(min(remaining, LONGEST_WAIT) * 1000 + 1) if in_time else ():
                if chunk := os.read(file, _CHUNK):
                    readers[file](chunk)
                else:
                    open_ends.remove(file)
                    poll.unregister(file)
        for file in open_ends:
            if held := _held(file):
                readers[file](os.read(file, held))
        return in_time

    def answer(self) -> dict[str, object]:
        """A JSON object, once all of it has come; empty if whoever was to give it is gone."""
        content: dict[str, object] = json.loads(self._answer) if self._answer else {}
        return content

    def close(self) -> None:
        """Close the pipes."""
        pipes, self._pipes = self._pipes, ()
        for file in pipes:
            os.close(file)


def _held(pipe: int) -> int:
    """The bytes that are in a pipe now (pipe(7), FIONREAD)."""
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return count


def _in_memory(content: Mapping[str, object], stack: contextlib.ExitStack) -> int:
    file = stack.enter_context(_closing(os.memfd_create("request")))
    with open(file, "wb", closefd=False) as stream:
        stream.write(json.dumps(content).encode())
    return file


@contextlib.contextmanager
def _closing(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)
