"""ML130: two different libraries of the wheel have one soname."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.soname_conflicts import SonameConflict, soname_conflicts
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for conflict in soname_conflicts(facts):
        yield CHECK.finding(
            f"{conflict.module} gets {conflict.taken} in place of {conflict.own}: both are called "
            f"{conflict.soname}",
            evidence=[f"then nothing defines {symbol}" for symbol in conflict.symbols[:10]],
            severity=Severity.ERROR if conflict.sure else Severity.WARNING,
            files=[conflict.module, conflict.own, conflict.taken],
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    del target
    return _wheel(facts)


def _symbol(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("soname-twice", facts, observation, target)
    for symbol, members in grouped(found, _symbol):
        files = [f for c in soname_conflicts(facts) if symbol in c.symbols for f in _files(c)]
        yield CHECK.finding(
            f"{symbol} is not in the library that was loaded first; the wheel has another of that name",
            evidence=[*(failure.line for failure in members), *dict.fromkeys(files)],
            severity=members[0].severity,
            files=list(dict.fromkeys(files)),
        )


def _files(conflict: SonameConflict) -> tuple[str, str, str]:
    return conflict.module, conflict.own, conflict.taken


CHECK = Check(
    code="ML130",
    name="soname-twice",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
