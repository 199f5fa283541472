"""ML103: a file wants a symbol version that the distro's library does not offer."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.installed import loader_problems
from pytest_manylinux.diagnose.loader_words import Refusal, read_words
from pytest_manylinux.diagnose.versioned_symbols import (
    NAMESPACES,
    Excess,
    excesses,
    first_releases,
    split_version,
    wanted_symbols,
)
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    for excess in excesses(facts, target.distro):
        yield _finding(
            excess,
            [_offered(excess, target)],
            Severity.ERROR,
            facts,
        )


def _offered(excess: Excess, target: Target) -> str:
    if excess.namespace == "GLIBC_ABI":
        marks = ", ".join(excess.offered.split()) or "none"
        return f"the glibc of {target.distro.id} has these marks: {marks}"
    if not excess.offered:
        return f"{target.distro.id} does not offer that version"
    return f"{target.distro.id} offers up to {excess.namespace}_{excess.offered}"


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("symbol-too-new", facts, observation, target)
    for version, members in grouped(found, _version):
        yield _seen(version, members[0].severity, [failure.line for failure in members], facts)
    for problem in loader_problems(facts, observation):
        words = read_words(problem.text)
        if words is not None and words.refusal is Refusal.VERSION:
            yield _seen(words.version, problem.severity, [problem.line], facts)


def _version(failure: Failure) -> str:
    return failure.words.version if failure.words else ""


def _seen(version: str, severity: Severity, lines: list[str], facts: WheelFacts) -> Finding:
    files = tuple(elf.path for elf in facts.elf if wanted_symbols(elf, version) is not None)
    namespace, number = split_version(version)
    excess = Excess(namespace=namespace, wanted=number, offered="", files=files)
    return _finding(excess, lines, severity, facts)


def _finding(excess: Excess, lines: list[str], severity: Severity, facts: WheelFacts) -> Finding:
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
    return CHECK.finding(
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


CHECK = Check(
    code="ML103",
    name="symbol-too-new",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
