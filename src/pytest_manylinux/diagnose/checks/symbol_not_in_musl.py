"""ML134: a file for musl wants a symbol that glibc has and musl has not."""

from __future__ import annotations

from itertools import groupby

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.musl_symbols import AbsentSymbol, absent_symbols, first_musl
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import Libc
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 10


def _wheel(facts: WheelFacts) -> Findings:
    # Another module may have put the symbols into the process before; a trial shows it.
    if facts.wheel.platforms and all(tag.startswith("musllinux") for tag in facts.wheel.platforms):
        yield from _found(facts, absent_symbols(facts), "musl", Severity.WARNING)


def _static(facts: WheelFacts, target: Target) -> Findings:
    libc = target.distro.libc
    if libc.is_musl():
        yield from _found(facts, absent_symbols(facts, target), str(libc), Severity.ERROR)


def _found(
    facts: WheelFacts, absent: tuple[AbsentSymbol, ...], libc: str, severity: Severity
) -> Findings:
    """A finding each file; a warning where another file of the wheel has all of its symbols.

    That one may be in the process already, its symbols open to all.
    """
    elsewhere = {e.partition("@")[0] for elf in facts.elf for e in elf.exports} if absent else set()
    for path, group in groupby(absent, lambda symbol: symbol.path):
        symbols = sorted(group, key=lambda s: (s.symbol in elsewhere, s.symbol))
        weight = Severity.WARNING if symbols[0].symbol in elsewhere else severity
        lines = [f"{path} wants {s.symbol}{_first(s.since)}" for s in symbols[:_SHOWN]]
        if len(symbols) > _SHOWN:
            lines.append(f"and {len(symbols) - _SHOWN} more")
        message = f"{path} wants {symbols[0].symbol}, which glibc has and {libc} has not"
        yield CHECK.finding(message, evidence=lines, severity=weight, files=[path])


def _first(since: str) -> str:
    return f", which musl has since {since}" if since else ""


def _symbol(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("symbol-not-in-musl", facts, observation, target)
    for symbol, members in grouped(found, _symbol):
        yield _seen(symbol, members, facts, target.distro.libc)


def _seen(symbol: str, members: list[Failure], facts: WheelFacts, libc: Libc) -> Finding:
    paths = [elf.path for elf in facts.elf if any(want.name == symbol for want in elf.wants)]
    lines = [f"{path} wants {symbol}{_first(first_musl(symbol))}" for path in paths]
    return CHECK.finding(
        f"{symbol} is glibc's; {libc} has no such symbol",
        evidence=[*(failure.line for failure in members), *lines],
        severity=members[0].severity,
        files=paths,
    )


CHECK = Check(
    code="ML134",
    name="symbol-not-in-musl",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
