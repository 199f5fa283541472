"""The end of a run: what stops then, programs and waiting, and what is tidied up however it ends.

A run's work is done in threads, and Python ends only when they have. So whatever a thread waits for
outside of a sandbox (a program, another run's lock, a registry) has to be something that the run's end
stops; sandboxes are ended by their engine. A thread that belongs to no run goes on for ever.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from pytest_manylinux.errors import RunEndedError

if TYPE_CHECKING:
    from typing_extensions import Self

_TIDYING = 30.0  # seconds
_thread = threading.local()


class Shutdown:
    """One run's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._stops: list[Callable[[], None]] = []
        self._over = threading.Event()

    def enter(self) -> None:
        """Have the calling thread belong to this run from now on."""
        _thread.lifetime = self

    def end(self) -> None:
        """Stop all that is waited for, and all that would be waited for from now on.

        Returns when that has been tidied up, or after a while.
        """
        with self._lock:
            self._over.set()
            stops = tuple(self._stops)
        for stop in stops:
            stop()
        with self._lock:
            self._lock.wait_for(lambda: not self._stops, timeout=_TIDYING)

    def check(self) -> None:
        """Raise RunEndedError if the run has ended."""
        if self._over.is_set():
            raise RunEndedError("nothing is begun or waited for any more", why="the run has ended")

    @contextmanager
    def stopping(self, stop: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Have `stop` called when the run ends, in whichever thread, while the block goes on.

        It must not raise. It is called at once if the run has ended already. The run's end waits for
        the block's.
        """
        with self._lock:
            self._stops.append(stop)
            over = self._over.is_set()
        if over:
            stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)
                self._lock.notify_all()


_FOR_EVER = Shutdown()


def lifetime() -> Shutdown:
    """The run that this thread works for."""
    found: Shutdown = getattr(_thread, "lifetime", _FOR_EVER)
    return found


def end_in_order() -> Callable[[], None]:
    """Have SIGTERM, a CI's way to cancel a job, end the run as Ctrl-C does: nothing is left behind.

    Gives what undoes it. A handler that somebody else has set stays.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def undo() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return undo


_UNTIL_THE_END = "read -r _\n"  # returns when the other end of the pipe is closed, by us or the kernel


class Closeable(ABC):
    """Leaving it closes it."""

    @abstractmethod
    def close(self) -> None:
        """End it, and return when it is gone. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Tether(Closeable):
    """A small shell that outlives us by a moment.

    Runs `before`, waits until its owner lets go or dies, then runs `after`.

    Both are scripts for /bin/sh that see `arguments` as $1, $2, …
    """

    def __init__(self, *arguments: str, before: str = "", after: str = "") -> None:
        script = f"{before}\n{_UNTIL_THE_END}{after}"
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *arguments],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who then let go
        )

    def close(self) -> None:
        """Let go; return when `after` is done."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


@contextmanager
def watched(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a process that leads a group of its own killed with its group when the run ends.

    Who waits for it goes on at once then.
    """
    with lifetime().stopping(lambda: _kill(process.pid)):
        yield


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def run_program(
    argv: Sequence[str], *, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, without input; both its outputs are in `stdout`.

    It dies with the thread that waits for it. Raises subprocess.TimeoutExpired, OSError.
    """
    guard = shutil.which("setpriv")  # of util-linux, essential on Debian
    with subprocess.Popen(
        [*((guard, "--pdeathsig", "KILL") if guard else ()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    ) as process:
        try:
            with watched(process):
                output, _ = process.communicate(timeout=timeout)
        except BaseException:
            _kill(process.pid)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output)
