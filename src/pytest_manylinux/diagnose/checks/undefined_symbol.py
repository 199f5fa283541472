"""ML107: a needed symbol that no loaded library provides."""

from __future__ import annotations

from itertools import groupby

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.linking import loose_symbols
from pytest_manylinux.diagnose.modules import needs_others
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 10


def _wheel(facts: WheelFacts) -> Findings:
    # Another module may have put the symbols into the process before; a trial shows it.
    return _loose(facts, Severity.WARNING)


def _static(facts: WheelFacts, target: Target) -> Findings:
    del target
    # What it depends on may be opened by the wheel's code, its symbols open to all (usearch does so).
    by_code = "*" in facts.opened_by_path and needs_others(facts)
    return _loose(facts, Severity.WARNING if by_code else Severity.ERROR)


def _may_open_to_all(facts: WheelFacts) -> bool:
    """Whether code of the wheel, Python's or native, may open files for all others to find symbols in.

    The interpreter opens extension modules each for itself, and so does ctypes unless it is asked.
    """
    return facts.opens_to_all or any(want.name == "dlopen" for elf in facts.elf for want in elf.wants)


def _loose(facts: WheelFacts, severity: Severity) -> list[Finding]:
    """Of the given severity, but a warning where another file of the wheel has all the symbols.

    That one may be in the process already, its symbols open to all (ray does so).
    """
    found = []
    loose = loose_symbols(facts)
    opened = loose and _may_open_to_all(facts)
    elsewhere = {e.partition("@")[0] for elf in facts.elf for e in elf.exports} if opened else set()
    for path, group in groupby(loose, lambda loose: loose.path):
        symbols = sorted({loose.symbol for loose in group}, key=elsewhere.__contains__)
        weight = Severity.WARNING if symbols[0] in elsewhere else severity
        lines = [f"{path} wants {symbol}" for symbol in symbols[:_SHOWN]]
        if len(symbols) > _SHOWN:
            lines.append(f"and {len(symbols) - _SHOWN} more")
        message = f"{path} wants {symbols[0]}, which nothing that it loads defines"
        found.append(CHECK.finding(message, evidence=lines, severity=weight, files=[path]))
    return found


def _symbol(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("undefined-symbol", facts, observation, target)
    for symbol, members in grouped(found, _symbol):
        files = [elf.path for elf in facts.elf if any(w.name == symbol for w in elf.wants)]
        yield CHECK.finding(
            f"no loaded library defines {symbol}",
            evidence=[
                *(failure.line for failure in members),
                *(f"{path} wants {symbol}" for path in files),
            ],
            severity=members[0].severity,
            files=files,
        )


CHECK = Check(
    code="ML107",
    name="undefined-symbol",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
