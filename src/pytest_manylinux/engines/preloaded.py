"""Fork servers from outside (inside/preloaded_main.py runs them), and the one in a bubblewrap sandbox.

What a run is to find is put into a folder of the host that the sandbox shows read-only: hard links
where they can be had, copies elsewhere. The run sees its own part of it bound in place, no other.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import (
    SCRATCH,
    Command,
    Completed,
    Limits,
    Mount,
    SandboxSpec,
    Status,
)
from pytest_manylinux.engines.bubblewrap.mounts import READ_ONLY_PROC, SHARED_MEMORY, check_mounts
from pytest_manylinux.engines.bubblewrap.supervisor import DeadlineError, exchange
from pytest_manylinux.engines.endings import Ending, completed, ending_of
from pytest_manylinux.engines.environment import USER
from pytest_manylinux.engines.output import BoundedOutput, Sink
from pytest_manylinux.engines.seccomp import filter_of_this_machine
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.closeable import Closeable

INSIDE = Path(__file__).parent / "inside" / "preloaded_main.py"
_SPOOL = PurePosixPath("/tmp/inputs")  # noqa: S108 - the sandbox's own, hidden from every run
_TMP = PurePosixPath("/tmp")  # noqa: S108 - the sandbox's own
_START_TIMEOUT = 60.0
_FOR_EVER = 7 * 86400.0

Serve = Callable[[Command, socket.socket], Completed]
"""Runs a command in the sandbox to its end, the socket its standard input."""


def server_argv(interpreter: str, code: str, way: str) -> tuple[str, ...]:
    """What starts the inside; `way` is how requests come: `socket` or `lines`."""
    return (interpreter, "-c", INSIDE.read_text(encoding="utf-8"), code, way)


def server_mounts(spec: SandboxSpec, spool: Path) -> tuple[Mount, ...]:
    """What the server's own sandbox shows."""
    return (*spec.mounts, Mount(source=spool, target=_SPOOL))


class Requests:
    """What the runs of one server are asked, and the folder of the host with their inputs."""

    def __init__(self, spec: SandboxSpec, spool: Path) -> None:
        self._limits = spec.limits
        self._carried = [mount.target for mount in spec.mounts if _is_hidden(mount.target)]
        self._spool = spool
        self._serial = itertools.count()

    @contextlib.contextmanager
    def next(self, mounts: Sequence[Mount]) -> Iterator[dict[str, object]]:
        """Give preloaded_main.py's request: where all is in the server's sandbox, and in the run's."""
        check_mounts(mounts)
        folder = self._spool / str(next(self._serial))
        binds = [(str(target), str(target)) for target in self._carried]
        folder.mkdir(mode=0o755)
        try:
            for number, mount in enumerate(mounts):
                put(mount.source.resolve(), folder / str(number))
                binds.append((str(_SPOOL / folder.name / str(number)), str(mount.target)))
            yield {
                "binds": sorted(binds, key=lambda bind: len(PurePosixPath(bind[1]).parts)),
                "writable": list(_writable(self._limits)),
                "folders": [str(SCRATCH / "home")],
                "read_only": [f"/proc/{name}" for name in READ_ONLY_PROC],
                "cwd": str(SCRATCH),
                "user": USER,
                "filter": filter_of_this_machine().hex(),
            }
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self._spool, ignore_errors=True)


class BubblewrapForkServer(Closeable):
    """See `engines.api.ForkServer`. `serve` runs a command in the server's sandbox, `end` ends that."""

    def __init__(
        self,
        spec: SandboxSpec,
        argv: Sequence[str],
        spool: Path,
        *,
        serve: Serve,
        end: Callable[[], None],
    ) -> None:
        self._requests = Requests(spec, spool)
        self._end = end
        self._closed = False
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = Command(argv=tuple(argv), timeout=_FOR_EVER)
        self._last: list[Completed] = []
        self._thread = threading.Thread(target=self._serve, args=(serve, command, theirs), daemon=True)
        self._thread.start()
        self._await_ready(spec.image.name)

    def _serve(self, serve: Serve, command: Command, theirs: socket.socket) -> None:
        with contextlib.suppress(SandboxError, OSError), theirs:
            self._last.append(serve(command, theirs))

    def _await_ready(self, name: str) -> None:
        self._channel.settimeout(_START_TIMEOUT)
        try:
            ready = self._channel.recv(64)
        except OSError:
            ready = b""
        if ready != b"ready":
            self.close()
            words = self._last[0].stderr.decode(errors="replace")[-2000:] if self._last else ""
            raise SandboxError(f"no fork server could be started from image {name}", why=words)
        self._channel.settimeout(None)

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program once; see `engines.api.ForkServer.run`."""
        if self._closed:
            raise SandboxError("the fork server is closed")
        stdout, stderr = BoundedOutput(), BoundedOutput()
        started = time.monotonic()
        try:
            with self._requests.next(mounts) as words:
                request = json.dumps(words).encode()
                ending = self._ask(request, [stdout.write, stderr.write], timeout)
        except BaseException:
            self.close()
            raise
        return completed(ending, stdout, stderr, started=started)

    def _ask(self, request: bytes, sinks: Iterable[Sink], timeout: float) -> Ending:
        try:
            answer = exchange(
                lambda files: socket.send_fds(self._channel, [request], files), sinks, timeout=timeout
            )
        except DeadlineError:
            self.close()
            return Status.TIMED_OUT, None
        except OSError as error:
            raise SandboxError("the fork server has ended", why=str(error)) from error
        ending = ending_of(answer, "no run could be begun in a fork")
        if ending[0] is Status.LOST:
            self.close()
        return ending

    def close(self) -> None:
        """End the server and everything in its sandbox; return when it is gone."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        self._end()
        self._thread.join()
        self._requests.remove()


def _is_hidden(target: PurePosixPath) -> bool:
    """Whether a mount of the server's lies where each run gets an empty folder."""
    return any(folder in target.parents for folder in (_TMP, SCRATCH))


def _writable(limits: Limits) -> Iterator[tuple[str, str]]:
    """The same folders as in any sandbox (layout.py)."""
    yield str(_TMP), f"size={limits.scratch // 2},mode=1777"
    yield str(SCRATCH), f"size={limits.scratch // 2},mode=0755"
    yield "/dev/shm", f"size={SHARED_MEMORY},mode=1777"  # noqa: S108 - the sandbox's own


def put(source: Path, target: Path) -> None:
    """Show a file or folder under another path: by hard links if that can be, else copied."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link, symlinks=True)
    else:
        _link(source, target)


def _link(source: str | Path, target: str | Path, *, follow_symlinks: bool = True) -> None:
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
