"""ML101: the file breaks the wheel specification."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for problem in facts.problems:
        # Installers differ in what they let pass; what the trial shows decides there.
        yield CHECK.finding(problem, severity=Severity.WARNING)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.MALFORMED:
        yield CHECK.finding(
            f"pip {refusal.pip} finds the wheel invalid: {refusal.line}",
            evidence=[*refusal.lines, *facts.problems],
        )


CHECK = Check(
    code="ML101",
    name="wheel-malformed",
    severity=Severity.ERROR,
    title="The file breaks the wheel specification",
    meaning=(
        "The archive cannot be read, its name and its metadata disagree, or RECORD is missing or "
        "does not match the files. Some installers let some of this pass, others refuse it. What "
        "makes the file unreadable or what the distro's pip refuses is an error, the rest a warning."
    ),
    by_hand="python3 -m zipfile -t WHEEL; unzip -p WHEEL '*.dist-info/RECORD' '*.dist-info/WHEEL'",
    remedies=(
        Remedy(
            words=(
                "build the wheel anew with a current build back end; change files in a wheel only with "
                "`python -m wheel unpack` and `python -m wheel pack`, which write RECORD anew"
            )
        ),
    ),
    links=(
        Link(
            title="Binary distribution format",
            address="https://packaging.python.org/en/latest/specifications/binary-distribution-format/",
        ),
    ),
    wheel=_wheel,
    dynamic=_dynamic,
)
