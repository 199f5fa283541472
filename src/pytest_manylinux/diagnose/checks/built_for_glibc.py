"""ML135: a file of a musllinux wheel was linked with glibc."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.musl_symbols import marks_of_glibc
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 10


def _wheel(facts: WheelFacts) -> Findings:
    # What musl's loader then refuses (a symbol, the loader of glibc) has findings of its own.
    if not facts.wheel.platforms or not all(t.startswith("musllinux") for t in facts.wheel.platforms):
        return
    marked = marks_of_glibc(facts)
    if marked:
        lines = [f"{path} {mark}" for path, marks in marked.items() for mark in marks]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        yield CHECK.finding(
            f"{next(iter(marked))} was built for glibc, and the wheel's name says musl",
            evidence=[*lines[:_SHOWN], *more],
            files=list(marked),
        )


CHECK = Check(code="ML135", name="built-for-glibc", severity=Severity.WARNING, wheel=_wheel)
