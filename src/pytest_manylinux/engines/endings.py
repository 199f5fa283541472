"""How commands and runs end, put together from what those who saw it tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeAlias

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.engines.output import BoundedOutput
from pytest_manylinux.errors import SandboxError

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


def completed(
    ending: Ending, stdout: BoundedOutput, stderr: BoundedOutput, *, started: float
) -> Completed:
    """All of it; `started` is when, by time.monotonic()."""
    status, number = ending
    return Completed(
        status=status,
        exit_code=number if status is Status.EXITED else None,
        signal=number if status is Status.SIGNALLED else None,
        stdout=stdout.value(),
        stderr=stderr.value(),
        truncated=stdout.truncated or stderr.truncated,
        duration=time.monotonic() - started,
    )
