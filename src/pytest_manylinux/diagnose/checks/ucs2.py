"""ML122: a file wants a Python with two-byte characters."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_ONE_KIND = (3, 3)  # PEP 393: from here on there is one kind of Python only


@once_per_wheel
def _lines(facts: WheelFacts) -> dict[str, str]:
    return {
        elf.path: f"{elf.path} wants {want.name}"
        for elf in facts.elf
        for want in elf.wants
        if want.name.startswith("PyUnicodeUCS")
    }


def _wheel(facts: WheelFacts) -> Findings:
    lines = _lines(facts)
    if lines:
        first = next(iter(lines))
        yield CHECK.finding(
            f"{first} wants a Python built with one width of Unicode characters",
            evidence=list(lines.values()),
            files=list(lines),
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    version = target.interpreter.version
    if (version.major, version.minor) < _ONE_KIND:
        return
    if not _lines(facts):
        return
    loaded = {elf.path for elf in loaded_files(facts)}
    lines = {path: line for path, line in _lines(facts).items() if path in loaded}
    if lines:
        yield CHECK.finding(
            f"{next(iter(lines))} wants a width of characters that no Python {version.dotted} has",
            evidence=list(lines.values()),
            severity=Severity.ERROR,
            files=list(lines),
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("ucs2", facts, observation, target))
    if found:
        lines = _lines(facts)
        yield CHECK.finding(
            f"{found[0].subject}: made for a Python with another width of characters",
            evidence=[*(failure.line for failure in found), *lines.values()],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=list(lines),
        )


CHECK = Check(
    code="ML122",
    name="ucs2",
    severity=Severity.WARNING,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
