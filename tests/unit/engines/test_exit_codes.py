"""An exit code is asked for until the daemon knows it: its streams may end before it does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from pytest_manylinux.engines.container.attach import exit_code_of

RUNS: Mapping[str, object] = {"Running": True, "ExitCode": None}
UNKNOWN: Mapping[str, object] = {"Running": False, "ExitCode": None}


def test_a_daemon_that_learns_it_late() -> None:
    answers: Iterator[Mapping[str, object]] = iter([RUNS, UNKNOWN, {"Running": False, "ExitCode": 3}])
    assert exit_code_of(lambda: next(answers), time.monotonic() + 60) == 3


def test_one_that_never_does() -> None:
    assert exit_code_of(lambda: RUNS, time.monotonic()) is None


def test_a_container_that_is_gone() -> None:
    assert exit_code_of(lambda: UNKNOWN, time.monotonic() + 60, gone=lambda: True) is None
