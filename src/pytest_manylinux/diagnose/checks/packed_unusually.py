"""ML131: files in the wheel are packed in a way that not every installer unpacks."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, not_unpacked, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    odd = [method for method in facts.packed_by if method not in {"stored", "deflated"}]
    if odd:
        yield CHECK.finding(
            f"files are packed with {', '.join(odd)}; package indexes and uv refuse them",
            severity=Severity.WARNING,
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    for method in not_unpacked(facts, target):
        yield CHECK.finding(_words(method, target))


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.MALFORMED:
        for method in not_unpacked(facts, target):
            yield CHECK.finding(_words(method, target), evidence=refusal.lines)


def _words(method: str, target: Target) -> str:
    version = target.interpreter.version.dotted
    return f"files are packed with {method}, which Python {version} does not unpack"


CHECK = Check(
    code="ML131",
    name="packed-unusually",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
