"""Short ways to run things in a sandbox, and to look for what it left on the host."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.engines.api import Command, Completed, Sandbox
from pytest_manylinux.engines.bubblewrap.cgroups import ControlGroups, find_control_groups

OWN = f"{secrets.randbelow(10**9):09}"
"""Digits that the tests of this process put into the commands that they look for, and no others do."""


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
    """Whether `condition` comes true within minutes: what else the machine does is not our business."""
    end = time.monotonic() + 300
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def need_control_groups() -> ControlGroups:
    """Where groups may be made. Root must have that; an ordinary user has it where it was delegated."""
    groups = find_control_groups()
    if groups is None:
        assert os.geteuid() != 0, "this machine gives no control groups: the limits are untested"
        pytest.skip("no control group was delegated to this ordinary user")
    return groups
