"""Symbols that a wheel's files ask for and nothing on the distro defines."""

from __future__ import annotations

from itertools import groupby

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.loader_words import Refusal, loader_problems, read_words
from pytest_manylinux.diagnose.modules import needs_others
from pytest_manylinux.diagnose.unresolved_symbols import (
    AbsentSymbol,
    absent_symbols,
    first_musl,
    lacked_by_pypy,
    loose_symbols,
)
from pytest_manylinux.diagnose.versioned_symbols import (
    Excess,
    excesses,
    first_releases,
    own_lacks,
    split_version,
    wanted_symbols,
)
from pytest_manylinux.model.distro import NAMESPACES, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import Libc
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML107: a needed symbol that no loaded library provides.

_SHOWN = 10


def _undefined_symbol_wheel(facts: WheelFacts) -> Findings:
    # Another module may have put the symbols into the process before; a trial shows it.
    return _loose_findings(facts, Severity.WARNING)


def _undefined_symbol_static(facts: WheelFacts, target: Target) -> Findings:
    python = f"{target.interpreter.version.title} of {target.distro.id}"
    for symbol, path in lacked_by_pypy(facts, target):
        yield UNDEFINED_SYMBOL.finding(f"{path} wants {symbol}, which {python} has not", files=[path])
    # What it depends on may be opened by the wheel's code, its symbols open to all (usearch does so).
    by_code = "*" in facts.opened_by_path and needs_others(facts)
    yield from _loose_findings(facts, Severity.WARNING if by_code else Severity.ERROR)


def _may_open_to_all(facts: WheelFacts) -> bool:
    """Whether code of the wheel, Python's or native, may open files for all others to find symbols in.

    The interpreter opens extension modules each for itself, and so does ctypes unless it is asked.
    """
    return facts.opens_to_all or any(want.name == "dlopen" for elf in facts.elf for want in elf.wants)


def _loose_findings(facts: WheelFacts, severity: Severity) -> list[Finding]:
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
        found.append(UNDEFINED_SYMBOL.finding(message, evidence=lines, severity=weight, files=[path]))
    return found


def _symbol_named(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _undefined_symbol_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("undefined-symbol", facts, observation, target)
    for symbol, members in grouped(found, _symbol_named):
        files = [elf.path for elf in facts.elf if any(w.name == symbol for w in elf.wants)]
        yield UNDEFINED_SYMBOL.finding(
            f"no loaded library defines {symbol}",
            evidence=[
                *(failure.line for failure in members),
                *(f"{path} wants {symbol}" for path in files),
            ],
            severity=members[0].severity,
            files=files,
        )


UNDEFINED_SYMBOL = Check(
    code="ML107",
    name="undefined-symbol",
    severity=Severity.ERROR,
    wheel=_undefined_symbol_wheel,
    static=_undefined_symbol_static,
    dynamic=_undefined_symbol_dynamic,
)


# ML103: a file wants a symbol version that the distro's library does not offer.


def _symbol_too_new_static(facts: WheelFacts, target: Target) -> Findings:
    for excess in excesses(facts, target.distro):
        yield _symbol_too_new_finding(
            excess,
            [_offered(excess, target)],
            Severity.ERROR,
            facts,
        )
    if target.distro.libc.is_glibc():  # musl asks no version
        for version in dict.fromkeys(lack.version for lack in own_lacks(facts)):
            yield _own_lack_finding(version, [], Severity.ERROR, facts)


def _own_lack_finding(version: str, lines: list[str], severity: Severity, facts: WheelFacts) -> Finding:
    """A version that a file wants of a library of the wheel's own, which does not define it."""
    lacks = [lack for lack in own_lacks(facts) if lack.version == version]
    return SYMBOL_TOO_NEW.finding(
        f"{lacks[0].file} wants {version}, which the wheel's own {lacks[0].library} does not define",
        evidence=[*lines, *(f"{one.file} wants {version} of {one.library}" for one in lacks)],
        severity=severity,
        remedy="put the library into the wheel that its files were linked with",
        files=tuple(dict.fromkeys(lack.file for lack in lacks)),
    )


def _offered(excess: Excess, target: Target) -> str:
    if excess.namespace == "GLIBC_ABI":
        marks = ", ".join(excess.offered.split()) or "none"
        return f"the glibc of {target.distro.id} has these marks: {marks}"
    if not excess.offered:
        return f"{target.distro.id} does not offer that version"
    return f"{target.distro.id} offers up to {excess.namespace}_{excess.offered}"


def _symbol_too_new_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("symbol-too-new", facts, observation, target)
    for version, members in grouped(found, _version_named):
        yield _symbol_too_new_seen(
            version, members[0].severity, [failure.line for failure in members], facts
        )
    for problem in loader_problems(facts, observation):
        words = read_words(problem.text)
        if words is not None and words.refusal is Refusal.VERSION:
            yield _symbol_too_new_seen(words.version, problem.severity, [problem.line], facts)


def _version_named(failure: Failure) -> str:
    return failure.words.version if failure.words else ""


def _symbol_too_new_seen(
    version: str, severity: Severity, lines: list[str], facts: WheelFacts
) -> Finding:
    if any(lack.version == version for lack in own_lacks(facts)):
        return _own_lack_finding(version, lines, severity, facts)
    files = tuple(elf.path for elf in facts.elf if wanted_symbols(elf, version) is not None)
    namespace, number = split_version(version)
    excess = Excess(namespace=namespace, wanted=number, offered="", files=files)
    return _symbol_too_new_finding(excess, lines, severity, facts)


def _symbol_too_new_finding(
    excess: Excess, lines: list[str], severity: Severity, facts: WheelFacts
) -> Finding:
    version = f"{excess.namespace}_{excess.wanted}"
    where = excess.files[0] if excess.files else "a library that is not in the wheel"
    evidence = [*lines]
    for elf in facts.elf:
        if elf.path in excess.files:
            symbols = ", ".join(wanted_symbols(elf, version) or ())
            evidence.append(f"{elf.path} wants {version}{f' for {symbols}' if symbols else ''}")
    if firsts := first_releases(excess.namespace, excess.wanted):
        evidence.append(f"first offered by {', '.join(firsts)}")
    known = excess.namespace in NAMESPACES
    return SYMBOL_TOO_NEW.finding(
        f"{where} wants {version}, which {'is newer than' if known else 'no library of'} this distro"
        f"{'' if known else ' offers'}",
        evidence=evidence,
        severity=severity,
        remedy=_MARK_REMEDIES.get(version, ""),
        files=excess.files,
    )


# Marks come from options of the linker and the compiler, not from calls to newer functions.
_MARK_REMEDIES = {
    "GLIBC_ABI_GNU2_TLS": (
        "compile with -mtls-dialect=gnu: the mark stands for TLS descriptors (gnu2), not for a symbol"
    ),
    "GLIBC_ABI_GNU_TLS": (
        "link with an older binutils: the mark stands for a fix of glibc's __tls_get_addr on i386"
    ),
    "GLIBC_ABI_DT_X86_64_PLT": (
        "link with -Wl,-z,nomark-plt: the mark stands for DT_X86_64_PLT, not for a symbol"
    ),
}


SYMBOL_TOO_NEW = Check(
    code="ML103",
    name="symbol-too-new",
    severity=Severity.ERROR,
    static=_symbol_too_new_static,
    dynamic=_symbol_too_new_dynamic,
)


# ML134: a file for musl wants a symbol that glibc has and musl has not.


def _symbol_not_in_musl_wheel(facts: WheelFacts) -> Findings:
    # Another module may have put the symbols into the process before; a trial shows it.
    if facts.wheel.platforms and all(tag.startswith("musllinux") for tag in facts.wheel.platforms):
        yield from _symbol_not_in_musl_found(facts, absent_symbols(facts), "musl", Severity.WARNING)


def _symbol_not_in_musl_static(facts: WheelFacts, target: Target) -> Findings:
    libc = target.distro.libc
    if libc.is_musl():
        yield from _symbol_not_in_musl_found(
            facts, absent_symbols(facts, target), str(libc), Severity.ERROR
        )


def _symbol_not_in_musl_found(
    facts: WheelFacts, absent: tuple[AbsentSymbol, ...], libc: str, severity: Severity
) -> Findings:
    """A finding each file; a warning where another file of the wheel has all of its symbols.

    That one may be in the process already, its symbols open to all.
    """
    elsewhere = {e.partition("@")[0] for elf in facts.elf for e in elf.exports} if absent else set()
    for path, group in groupby(absent, lambda symbol: symbol.path):
        symbols = sorted(group, key=lambda s: (s.symbol in elsewhere, s.symbol))
        weight = Severity.WARNING if symbols[0].symbol in elsewhere else severity
        lines = [f"{path} wants {s.symbol}{_first_musl(s.since)}" for s in symbols[:_SHOWN]]
        if len(symbols) > _SHOWN:
            lines.append(f"and {len(symbols) - _SHOWN} more")
        message = f"{path} wants {symbols[0].symbol}, which glibc has and {libc} has not"
        yield SYMBOL_NOT_IN_MUSL.finding(message, evidence=lines, severity=weight, files=[path])


def _first_musl(since: str) -> str:
    return f", which musl has since {since}" if since else ""


def _symbol_not_in_musl_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    found = blamed("symbol-not-in-musl", facts, observation, target)
    for symbol, members in grouped(found, _symbol_named):
        yield _symbol_not_in_musl_seen(symbol, members, facts, target.distro.libc)


def _symbol_not_in_musl_seen(
    symbol: str, members: list[Failure], facts: WheelFacts, libc: Libc
) -> Finding:
    paths = [elf.path for elf in facts.elf if any(want.name == symbol for want in elf.wants)]
    lines = [f"{path} wants {symbol}{_first_musl(first_musl(symbol))}" for path in paths]
    return SYMBOL_NOT_IN_MUSL.finding(
        f"{symbol} is glibc's; {libc} has no such symbol",
        evidence=[*(failure.line for failure in members), *lines],
        severity=members[0].severity,
        files=paths,
    )


SYMBOL_NOT_IN_MUSL = Check(
    code="ML134",
    name="symbol-not-in-musl",
    severity=Severity.ERROR,
    wheel=_symbol_not_in_musl_wheel,
    static=_symbol_not_in_musl_static,
    dynamic=_symbol_not_in_musl_dynamic,
)
