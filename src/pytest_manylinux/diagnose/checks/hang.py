"""ML304: an import did not end."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("hang", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        yield CHECK.finding(
            f"import {outcome.name}: not ended after {outcome.duration:.0f} s",
            evidence=[failure.line, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
        )


CHECK = Check(
    code="ML304",
    name="hang",
    severity=Severity.ERROR,
    title="An import did not end",
    meaning=(
        "The import was still running when the trial's time limit ended it. Usual causes: a thread "
        "started at import time that itself imports (it waits for the import lock), a wait for the "
        "network or for a terminal, a deadlock between two copies of an OpenMP runtime."
    ),
    by_hand=(
        "python3 -c 'import faulthandler; faulthandler.dump_traceback_later(10, exit=True); "
        "import NAME'"
    ),
    remedies=(
        Remedy(
            words=("do no waiting at import time; if the import is merely slow, raise trial-timeout")
        ),
    ),
    links=(
        Link(
            title="faulthandler.dump_traceback_later",
            address="https://docs.python.org/3/library/faulthandler.html#faulthandler.dump_traceback_later",
        ),
    ),
    sample="sample_projects/faulty/hang_on_import",
    dynamic=_dynamic,
)
