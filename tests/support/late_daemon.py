"""A proxy in front of a container engine's socket that delivers output later than all else.

It stands for a daemon on a busy machine. Requests and answers pass as they are; what follows an answer
"101 UPGRADED" are frames (engines/container/attach.py), and those of some streams are held back, in
order, while the others and the daemon's answers to other connections overtake them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from queue import SimpleQueue

import pytest

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.engines.select import select_engine

STDOUT, STDERR = 1, 2
_UPGRADED = b"HTTP/1.1 101 "
_HEADER = struct.Struct(">BxxxL")
_VARIABLES = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}
_DEFAULT = "unix:///var/run/docker.sock"
_CHUNK = 1 << 16
Frames = SimpleQueue[tuple[bytes, float] | None]


@dataclass(kw_only=True)
class Lateness:
    """What is held back: frames of `streams`, `seconds` long each; may be changed at any time.

    `lost`: after that they are not delivered at all, and the connection ends as if all were well.
    """

    streams: frozenset[int] = frozenset()
    seconds: float = 0.0
    lost: bool = False
    held: list[int] = field(default_factory=list)
    """The streams of the frames that were held back."""
    words: dict[int, bytes] = field(default_factory=dict)
    """What was in them, by stream; how a daemon cuts it into frames is its own affair."""


@contextmanager
def late_engine(engine: Engine) -> Iterator[tuple[ContainerEngine, Lateness]]:
    """The same engine, reached through the proxy, and what says how late that is."""
    assert isinstance(engine, ContainerEngine)
    service, lateness = engine._service, Lateness()
    behind = service.address if service else os.environ.get(_VARIABLES[engine.name], _DEFAULT)
    with (
        tempfile.TemporaryDirectory(prefix="late-") as folder,
        socket.socket(socket.AF_UNIX) as listener,
        pytest.MonkeyPatch.context() as patch,
    ):
        path = f"{folder}/socket"
        listener.bind(path)
        listener.listen(64)
        serving = threading.Thread(target=_serve, args=(listener, behind, lateness), daemon=True)
        serving.start()
        patch.setenv(_VARIABLES[engine.name], f"unix://{path}")
        late = select_engine(engine.name)
        assert isinstance(late, ContainerEngine)
        try:
            yield late, lateness
        finally:
            late.close()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(listener: socket.socket, behind: str, lateness: Lateness) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(behind.removeprefix("unix://"))
            for work, ends in ((_forward, (client, daemon)), (_answer, (daemon, client, lateness))):
                threading.Thread(target=work, args=ends, daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _answer(daemon: socket.socket, client: socket.socket, lateness: Lateness) -> None:
    """Pass on what a daemon answers; from an upgrade on, frame by frame."""
    with daemon, client, contextlib.suppress(OSError), daemon.makefile("rb") as stream:
        try:
            while head := stream.peek():
                if head.startswith(_UPGRADED):
                    while (line := stream.readline()) != b"\r\n":
                        client.sendall(line)
                    client.sendall(line)
                    _deliver(stream, client, lateness)
                    return
                client.sendall(stream.read1(_CHUNK))
        finally:
            for end in (client, daemon):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _deliver(stream: BufferedReader, client: socket.socket, lateness: Lateness) -> None:
    """Pass frames on, each stream's in order; the end comes after the last of them."""
    lock, queues = threading.Lock(), {number: Frames() for number in range(4)}
    senders = [
        threading.Thread(target=_send, args=(queue, client, lock), daemon=True)
        for queue in queues.values()
    ]
    for sender in senders:
        sender.start()
    while len(header := stream.read(_HEADER.size)) == _HEADER.size:
        number, length = _HEADER.unpack(header)
        frame, late = header + stream.read(length), number in lateness.streams
        if late:
            lateness.held.append(number)
            lateness.words[number] = lateness.words.get(number, b"") + frame[_HEADER.size :]
        if not (late and lateness.lost):
            queues[number].put((frame, time.monotonic() + (lateness.seconds if late else 0)))
    for queue in queues.values():
        queue.put(None)
    for sender in senders:
        sender.join()


def _send(queue: Frames, client: socket.socket, lock: threading.Lock) -> None:
    """Send frames when they are due; None is the last."""
    while item := queue.get():
        frame, due = item
        time.sleep(max(0.0, due - time.monotonic()))
        with lock, contextlib.suppress(OSError):
            client.sendall(frame)
