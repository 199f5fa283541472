"""Faults of the zip archive that a wheel is."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, not_unpacked, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML101: the file breaks the wheel specification.


def _wheel_malformed_wheel(facts: WheelFacts) -> Findings:
    for problem in facts.problems:
        # Installers differ in what they let pass; what the trial shows decides there.
        yield WHEEL_MALFORMED.finding(problem, severity=Severity.WARNING)
    if facts.mismatches:
        # No installer looks; still the bytes are not those that were built.
        yield WHEEL_MALFORMED.finding(
            f"RECORD is wrong: {facts.mismatches[0]}", evidence=facts.mismatches
        )


def _wheel_malformed_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if not_unpacked(facts, target):
        return  # `packed-unusually` tells it
    if refusal is not None and refusal.kind is PipRefusal.MALFORMED:
        yield WHEEL_MALFORMED.finding(
            f"pip {refusal.pip} finds the wheel invalid: {refusal.line}",
            evidence=[*refusal.lines, *facts.problems],
        )


WHEEL_MALFORMED = Check(
    code="ML101",
    name="wheel-malformed",
    severity=Severity.ERROR,
    wheel=_wheel_malformed_wheel,
    dynamic=_wheel_malformed_dynamic,
)


# ML131: files in the wheel are packed in a way that not every installer unpacks.


def _packed_unusually_wheel(facts: WheelFacts) -> Findings:
    odd = [method for method in facts.packed_by if method not in {"stored", "deflated"}]
    if odd:
        yield PACKED_UNUSUALLY.finding(
            f"files are packed with {', '.join(odd)}; package indexes and uv refuse them",
            severity=Severity.WARNING,
        )


def _packed_unusually_static(facts: WheelFacts, target: Target) -> Findings:
    for method in not_unpacked(facts, target):
        yield PACKED_UNUSUALLY.finding(_packed_words(method, target))


def _packed_unusually_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.MALFORMED:
        for method in not_unpacked(facts, target):
            yield PACKED_UNUSUALLY.finding(_packed_words(method, target), evidence=refusal.lines)


def _packed_words(method: str, target: Target) -> str:
    version = target.interpreter.version.dotted
    return f"files are packed with {method}, which Python {version} does not unpack"


PACKED_UNUSUALLY = Check(
    code="ML131",
    name="packed-unusually",
    severity=Severity.ERROR,
    wheel=_packed_unusually_wheel,
    static=_packed_unusually_static,
    dynamic=_packed_unusually_dynamic,
)
