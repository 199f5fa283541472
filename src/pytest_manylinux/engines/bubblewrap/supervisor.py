"""The owner's side of a supervisor (supervisor_main.py has the protocol): start it, ask it, end it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.engines.output import Sink
from pytest_manylinux.errors import SandboxError

_PROGRAM = Path(__file__).parents[1] / "inside" / "supervisor_main.py"
_KEPT = ("LD_LIBRARY_PATH",)  # some Pythons do not start without
_CHUNK = 1 << 16
_END_TIMEOUT = 15.0


class DeadlineError(Exception):
    """No answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Where a command's input comes from (an open file; None: empty) and its output goes."""

    stdout: Sink
    stderr: Sink
    stdin: int | None = None


class Supervisor:
    """A running supervisor. Thread-safe: each request brings its own channels."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM), str(number)],
                pass_fds=[number],
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for pytest, which then closes its sandboxes
            )

    def ask(
        self, request: Mapping[str, object], *, timeout: float, streams: Streams | None = None
    ) -> dict[str, object]:
        """Send `request` and wait for the answer; output goes to the sinks as it comes.

        An empty answer means that the supervisor is gone. Raises DeadlineError after `timeout` seconds,
        SandboxError if the supervisor cannot be reached, and whatever a sink raises.
        """
        with contextlib.ExitStack() as stack:
            files = [_in_memory(request, stack)]
            sinks: list[Sink] = []
            if streams is not None:
                null = stack.enter_context(_closing(os.open(os.devnull, os.O_RDONLY)))
                files.append(null if streams.stdin is None else streams.stdin)
                sinks = [streams.stdout, streams.stderr]
            return exchange(lambda pipes: self._send([*files, *pipes]), sinks, timeout=timeout)

    def _send(self, files: list[int]) -> None:
        try:
            socket.send_fds(self._socket, [b"r"], files)
        except OSError as error:
            raise SandboxError("the sandbox has ended", why=str(error)) from error

    def close(self) -> None:
        """Hang up; return when the sandbox and everything in it is gone."""
        with contextlib.suppress(OSError):
            # A fork of this process may hold the socket open too: end the conversation itself.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        try:
            self._process.wait(_END_TIMEOUT)
        except (
            subprocess.TimeoutExpired
        ):  # stopped, say; with it goes bubblewrap, and all that is inside
            self._process.kill()
            self._process.wait()


def exchange(
    send: Callable[[list[int]], object], sinks: Iterable[Sink], *, timeout: float
) -> dict[str, object]:
    """Hand over a pipe for each sink and one for the answer, a JSON object, and wait for that.

    An empty answer means that whoever got them is gone. Raises DeadlineError after `timeout` seconds,
    and whatever a sink raises.
    """
    answer = bytearray()
    takers: list[Sink] = [*sinks, answer.extend]
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as theirs:
            pipes = [_pipe(stack, theirs) for _ in takers]
            send([end for _, end in pipes])
        readers = {ours: sink for (ours, _), sink in zip(pipes, takers, strict=True)}
        _pump(readers, pipes[-1][0], time.monotonic() + timeout)
    content: dict[str, object] = json.loads(answer) if answer else {}
    return content


def _pump(readers: dict[int, Sink], last: int, deadline: float) -> None:
    """Feed the sinks until `last` ends, or the deadline, then with what the others hold by then.

    A pipe has all that was written to it before, so that this is everything. What goes on writing,
    a process that a command has left behind, is not waited for.
    """
    with selectors.DefaultSelector() as selector:
        for file in readers:
            os.set_blocking(file, False)
            selector.register(file, selectors.EVENT_READ)
        while last in selector.get_map():
            if (remaining := deadline - time.monotonic()) <= 0:
                break
            for key, _ in selector.select(remaining):
                if chunk := os.read(key.fd, _CHUNK):
                    readers[key.fd](chunk)
                else:
                    selector.unregister(key.fd)
        for file in [key.fd for key in selector.get_map().values()]:
            if held := _held(file):
                readers[file](os.read(file, held))
        if last in selector.get_map():
            raise DeadlineError


def _held(pipe: int) -> int:
    """The bytes that are in a pipe now (pipe(7), FIONREAD)."""
    count: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return count


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    read_end, write_end = os.pipe()
    ours.enter_context(_closing(read_end))
    theirs.enter_context(_closing(write_end))
    return read_end, write_end


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
