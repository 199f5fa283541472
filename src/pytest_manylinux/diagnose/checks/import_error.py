"""ML301: an import raised, for a reason that no other finding names."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed, grouped, spoken
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("import-error", facts, observation, target)
    for words, members in grouped(found, lambda failure: spoken(failure.outcome)):
        yield CHECK.finding(
            f"import {members[0].outcome.name}: {words}",
            evidence=[failure.line for failure in members],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML301",
    name="import-error",
    severity=Severity.ERROR,
    title="An import raised an exception",
    meaning=(
        "A fresh interpreter of the distro raised an exception while it imported a name that the "
        "wheel installs, and nothing in the exception points to one of the causes that have a "
        "finding of their own. A top-level name that cannot be imported makes the wheel not "
        "portable. An extension module imported on its own may raise for its own reasons (it wants "
        "a display, an optional module, or to be imported through its package): that is reported as "
        "information."
    ),
    by_hand="python3 -m venv v && v/bin/pip install WHEEL && v/bin/python -c 'import NAME'",
    remedies=(
        Remedy(
            words="read the traceback; if the module is optional on that distro, name it in import-skip"
        ),
    ),
    links=(Link(title="The import system", address="https://docs.python.org/3/reference/import.html"),),
    dynamic=_dynamic,
)
