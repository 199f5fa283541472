"""ML123: a file wants a Python built with floating-point exception control."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SYMBOLS = frozenset({"PyFPE_jbuf", "PyFPE_counter", "PyFPE_dummy"})
_GONE = (3, 7)  # fpectl was removed


@once_per_wheel
def _wants(facts: WheelFacts) -> dict[str, str]:
    return {elf.path: want.name for elf in facts.elf for want in elf.wants if want.name in _SYMBOLS}


def _wheel(facts: WheelFacts) -> Findings:
    found = _wants(facts)
    if found:
        path, symbol = next(iter(found.items()))
        yield CHECK.finding(
            f"{path} wants {symbol}, which only Pythons with fpectl had",
            evidence=[f"{path} wants {symbol}" for path, symbol in found.items()],
            files=list(found),
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    version = target.interpreter.version
    if (version.major, version.minor) < _GONE or not _wants(facts):
        return
    loaded = {elf.path for elf in loaded_files(facts)}
    found = {path: symbol for path, symbol in _wants(facts).items() if path in loaded}
    if found:
        path, symbol = next(iter(found.items()))
        yield CHECK.finding(
            f"{path} wants {symbol}, which Python {version.dotted} does not have",
            evidence=[f"{path} wants {symbol}" for path, symbol in found.items()],
            severity=Severity.ERROR,
            files=list(found),
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    failed = list(blamed("fpe", facts, observation, target))
    if failed:
        found = _wants(facts)
        yield CHECK.finding(
            f"{failed[0].subject}: made for a Python with floating-point exception control",
            evidence=[*(f.line for f in failed), *(f"{path} wants {s}" for path, s in found.items())],
            severity=min((f.severity for f in failed), key=list(Severity).index),
            files=list(found),
        )


CHECK = Check(
    code="ML123",
    name="fpe",
    severity=Severity.WARNING,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
