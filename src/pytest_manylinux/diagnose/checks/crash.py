"""ML303: the interpreter was killed by a signal during an import."""

from __future__ import annotations

import signal

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import Failure, blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def signal_name(number: int | None) -> str:
    """`SIGSEGV` for 11; the number for signals that have no name here."""
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def _evidence(failure: Failure) -> list[str]:
    lines = failure.outcome.output.strip().splitlines()
    fault = [line.strip() for line in lines if line.startswith(("Fatal Python error", "  File "))]
    own = [lib.path for lib in failure.outcome.loaded if lib.from_wheel]
    return [failure.line, *fault[:6], *(f"loaded from the wheel: {path}" for path in own[:6])]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("crash", facts, observation, target):
        outcome = failure.outcome
        yield CHECK.finding(
            f"import {outcome.name}: killed by {signal_name(outcome.signal)}",
            evidence=_evidence(failure),
            severity=failure.severity,
        )


CHECK = Check(
    code="ML303",
    name="crash",
    severity=Severity.ERROR,
    title="The interpreter was killed by a signal during an import",
    meaning=(
        "Importing the name killed the interpreter: SIGSEGV (a bad pointer, or two incompatible "
        "copies of a library in one process), SIGABRT (an assertion, an uncaught C++ exception), "
        "SIGBUS, SIGFPE, or SIGKILL (usually the sandbox's memory limit). No traceback exists; the "
        "evidence names the signal, what faulthandler saw, and the wheel's libraries that were "
        "loaded."
    ),
    by_hand="python3 -X faulthandler -c 'import NAME'; echo $?   # 139 is 128 + SIGSEGV (11)",
    remedies=(
        Remedy(
            words=(
                "run the import under gdb on that distro (gdb --args python3 -c 'import NAME', then "
                "`bt`); look first for a second copy of a grafted library"
            )
        ),
    ),
    links=(
        Link(title="faulthandler", address="https://docs.python.org/3/library/faulthandler.html"),
        Link(title="signal(7)", address="https://man7.org/linux/man-pages/man7/signal.7.html"),
    ),
    sample="sample_projects/faulty/crash_on_import",
    dynamic=_dynamic,
)
