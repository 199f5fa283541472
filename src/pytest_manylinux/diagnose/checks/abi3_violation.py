"""ML115: a file for the stable ABI uses more than that."""

from __future__ import annotations

from pytest_manylinux.diagnose.abi3 import AbiBreach, breaches
from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _lines(found: list[AbiBreach]) -> list[str]:
    return [f"{breach.path} wants {breach.symbol}: {_standing(breach)}" for breach in found]


def _standing(breach: AbiBreach) -> str:
    if breach.elsewhere:
        return "in the stable ABI of Windows or of debug builds alone"
    return f"in the stable ABI since {breach.since.dotted}" if breach.since else "not in the stable ABI"


def _wheel(facts: WheelFacts) -> Findings:
    found = list(breaches(facts))
    if found:
        promised = found[0].promised.dotted
        yield CHECK.finding(
            f"{found[0].path} uses {found[0].symbol}, which the stable ABI of {promised} does not have",
            evidence=_lines(found),
            severity=Severity.WARNING,
            files=list(dict.fromkeys(breach.path for breach in found)),
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    """An error for what is missing; what is there without being stable, or may be, is a warning."""
    version = target.interpreter.version
    missing = [breach for breach in breaches(facts) if breach.is_missing(version)]
    unsure = [
        breach
        for breach in breaches(facts)
        if breach not in missing and not (breach.since and breach.since <= version)
    ]
    for found, words, severity in (
        (missing, "does not have", Severity.ERROR),
        (unsure, "need not have", Severity.WARNING),
    ):
        if found:
            yield CHECK.finding(
                f"{found[0].path} uses {found[0].symbol}, which Python {version.dotted} {words}",
                evidence=_lines(found),
                severity=severity,
                files=list(dict.fromkeys(breach.path for breach in found)),
            )


def _symbol(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("abi3-violation", facts, observation, target)
    for symbol, members in grouped(found, _symbol):
        files = [elf.path for elf in facts.elf if any(w.name == symbol for w in elf.wants)]
        version = target.interpreter.version.dotted
        yield CHECK.finding(
            f"Python {version} does not have {symbol}, which an abi3 module uses",
            evidence=[*(f.line for f in members), *(f"{path} wants {symbol}" for path in files)],
            severity=members[0].severity,
            files=files,
        )


CHECK = Check(
    code="ML115",
    name="abi3-violation",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
