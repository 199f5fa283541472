"""Short ways to run things in a sandbox, and to look for what it left on the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pytest_manylinux.engines.api import Command, Completed, Sandbox


def sh(sandbox: Sandbox, script: str, *, timeout: float = 120.0) -> Completed:
    """Run a shell script inside."""
    return sandbox.exec(Command(argv=("sh", "-c", script), timeout=timeout))


def python(sandbox: Sandbox, program: str, *, timeout: float = 120.0) -> Completed:
    """Run a Python program inside."""
    return sandbox.exec(Command(argv=("python3", "-I", "-c", program), timeout=timeout))


def lines(completed: Completed) -> list[str]:
    """What a command that must succeed printed."""
    assert completed.ok, completed
    return completed.stdout.decode().splitlines()


def processes_with(mark: str) -> list[str]:
    """Command lines on this host, other than a test's own, that contain `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in words:
            found.append(words)
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes true within a generous minute."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
