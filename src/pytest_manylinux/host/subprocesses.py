"""Programs of this machine that a run starts outside of any sandbox: none goes on without it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_manylinux.host.shutdown import lifetime

_RUN = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; import runpy; del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


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


def start_time(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 if there is none such."""
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this Python, never one that lies in the working folder.

    `python -m` looks in the working folder first (PYTHONSAFEPATH is of Python 3.11): in a stranger's
    tree a `pip.py` would be run in pip's place.
    """
    return [sys.executable, "-c", _RUN, module, *arguments]
