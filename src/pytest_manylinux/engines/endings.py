"""How commands and runs end, put together from what those who saw it tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.engines.output import INCOMPLETE, BoundedOutput
from pytest_manylinux.errors import SandboxError

_PAUSE = 0.02  # seconds

Ending: TypeAlias = tuple[Status, "int | None"]
"""With the exit code of what EXITED, the signal of what was SIGNALLED."""


def ending_of(answer: Mapping[str, object], what: str) -> Ending:
    """What {"exit_code": n}, {"signal": n}, {"failed": words} or anything else tells: it was LOST.

    Raises SandboxError, whose first words are `what`, for what failed.
    """
    match answer:
        case {"exit_code": int(code)}:
            return Status.EXITED, code
        case {"signal": int(number)}:
            return Status.SIGNALLED, number
        case {"failed": str(words)}:
            raise SandboxError(what, why=words)
        case _:
            return Status.LOST, None


def exit_code_of(
    inspect: Callable[[], Mapping[str, Any]],
    deadline: float,
    *,
    gone: Callable[[], bool] = lambda: False,
) -> int | None:
    """The exit code of an exec whose stream has ended; `inspect` asks the daemon for its facts.

    The daemon may learn it a little after the stream's end, and a command may close its outputs long
    before its own: so it is asked until it tells, until `deadline` (time.monotonic()), or until the
    container is `gone`. None then.
    """
    while True:
        facts = inspect()
        if not facts["Running"] and facts["ExitCode"] is not None:
            return int(facts["ExitCode"])
        if gone() or time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)


def completed(
    ending: Ending,
    stdout: BoundedOutput,
    stderr: BoundedOutput,
    *,
    started: float,
    whole: bool = True,
) -> Completed:
    """All of it; `started` is when, by time.monotonic(), `whole` whether no output was lost."""
    status, number = ending
    return Completed(
        status=status,
        exit_code=number if status is Status.EXITED else None,
        signal=number if status is Status.SIGNALLED else None,
        stdout=stdout.value(),
        stderr=stderr.value() + (b"" if whole else INCOMPLETE),
        truncated=stdout.truncated or stderr.truncated,
        duration=time.monotonic() - started,
        output_complete=whole,
    )
