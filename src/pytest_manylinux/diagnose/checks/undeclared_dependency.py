"""ML305: a Python module is missing that the wheel does not declare."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped
from pytest_manylinux.diagnose.modules import ALWAYS_THERE, needs_others, own_names
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, _: Target) -> Findings:
    """What every import of the wheel imports from outside, if nothing at all may bring it."""
    if needs_others(facts) or any(line.changes_search for line in facts.start_lines):
        return
    names = own_names(facts)
    for effect in facts.on_import:
        if effect.opens or effect.name in ALWAYS_THERE or effect.name in names:
            continue
        yield CHECK.finding(
            f"no module named {effect.name!r}, and the wheel does not declare what provides it",
            evidence=[
                f"{effect.path}, line {effect.line}, imports {effect.name}",
                "the wheel declares: nothing",
            ],
            files=[effect.path],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("undeclared-dependency", facts, observation, target)
    for module, members in grouped(found, lambda failure: failure.outcome.missing_module):
        requires = ", ".join(facts.requires_dist) or "nothing"
        yield CHECK.finding(
            f"no module named {module!r}, and the wheel does not declare what provides it",
            evidence=[*(failure.line for failure in members), f"the wheel declares: {requires}"],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML305",
    name="undeclared-dependency",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
