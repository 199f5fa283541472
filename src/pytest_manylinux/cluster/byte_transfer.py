"""The bytes that a run's workers lack: each asks for them by digest, through the scheduler.

Workers need not reach the machine that asks, nor it them: both reach the scheduler. A worker puts its
wish into one queue of the run and gets the bytes through another one, which holds few pieces at a
time. Only what this run has registered can be asked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, cast

import msgspec
from distributed import Client, Queue

from pytest_manylinux.decoding import convert
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.errors import ClusterError

PIECE = 4 * 1024 * 1024
"""Bytes of one message."""

_AHEAD = 4  # pieces that wait in the scheduler
_PATIENCE = 120.0  # seconds without a piece taken or given
_AT_ONCE = 4

Put = Callable[[bytes], None]
Source = Callable[[Put], None]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's wish: which bytes, and the queue that they are to come through."""

    digest: str
    reply: str


def wishes_of(run: str) -> str:
    """The name of the queue that a run's workers ask through."""
    return f"pytest-manylinux-{run}"


def file_source(path: Path) -> Source:
    """A file's bytes."""

    def send(put: Put) -> None:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                put(piece)

    return send


def root_source(root: Path) -> Source:
    """A root as a tar stream."""

    def send(put: Put) -> None:
        with _Pieces(put) as stream:
            pack_root(root, cast("IO[bytes]", stream))

    return send


class _Pieces(RawIOBase):
    """A file to write to that hands on whole pieces."""

    def __init__(self, put: Put) -> None:
        super().__init__()
        self._put = put
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as for all files
        self._held += data
        while len(self._held) >= PIECE:
            self._put(bytes(self._held[:PIECE]))
            del self._held[:PIECE]
        return len(data)

    def close(self) -> None:
        if not self.closed and self._held:
            self._put(bytes(self._held))
            self._held.clear()
        super().close()


class Supply:
    """What one run has to give. `sent` counts how often each digest was asked for."""

    def __init__(self, client: Client, run: str) -> None:
        self.sent: Counter[str] = Counter()
        self._client = client
        self._sources: dict[str, Source] = {}
        self._wishes = Queue(wishes_of(run), client=client)
        self._places = threading.Semaphore(_AT_ONCE)
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="manylinux-wishes", daemon=True).start()

    def offer(self, digest: str, source: Source) -> None:
        """Have something to give."""
        self._sources.setdefault(digest, source)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                wish = self._wishes.get(timeout=1)
            except TimeoutError:
                continue
            except Exception:  # noqa: BLE001 - the client is closed, or the scheduler gone: others say so
                if self._closed.wait(1.0):
                    return
                continue
            # A daemon: it may wait for one who takes nothing, and the end of the run must not.
            threading.Thread(
                target=self._serve, args=(wish,), name="manylinux-supply", daemon=True
            ).start()

    def _serve(self, wish: object) -> None:
        try:
            ask = convert(wish, Ask)
        except msgspec.ValidationError:
            return
        self.sent[ask.digest] += 1
        with self._places:
            if not self._closed.is_set():
                self._answer(ask)

    def _answer(self, ask: Ask) -> None:
        reply = Queue(ask.reply, client=self._client, maxsize=_AHEAD)
        try:
            source = self._sources.get(ask.digest)
            if source is None:
                reply.put(["none", f"this run has no {ask.digest}"], timeout=_PATIENCE)
                return
            self._send(reply, source)
        except Exception:  # noqa: BLE001 - whoever asked is gone, or the scheduler: the trial goes elsewhere
            self._drain(reply)
        finally:
            with contextlib.suppress(Exception):
                reply.close()

    @staticmethod
    def _send(reply: Queue, source: Source) -> None:
        try:
            source(lambda piece: reply.put(["data", piece], timeout=_PATIENCE))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            reply.put(["none", str(error)], timeout=_PATIENCE)
        else:
            reply.put(["end", ""], timeout=_PATIENCE)

    @staticmethod
    def _drain(reply: Queue) -> None:
        """Leave no pieces with the scheduler for one who no longer takes them."""
        with contextlib.suppress(Exception):
            reply.get(batch=True)

    def close(self) -> None:
        """Give nothing more."""
        self._closed.set()
        with contextlib.suppress(Exception):
            self._wishes.close()


def stream(client: Client, run: str, digest: str, reply: str) -> Iterator[bytes]:
    """Ask a run for bytes, on a worker; raises ClusterError if they do not come."""
    pieces = Queue(reply, client=client, maxsize=_AHEAD)
    wishes = Queue(wishes_of(run), client=client)
    try:
        wishes.put({"digest": digest, "reply": reply})
        while True:
            match pieces.get(timeout=_PATIENCE):
                case ["data" | b"data", bytes() as piece]:
                    yield piece
                case ["end" | b"end", _]:
                    return
                case [_, words]:
                    raise ClusterError(f"{digest} cannot be had", why=str(words))
    except TimeoutError as error:
        raise ClusterError(
            f"{digest} cannot be had", why=f"whoever asked sent nothing for {_PATIENCE:.0f} s"
        ) from error
    finally:
        for queue in (pieces, wishes):
            queue.close()
