"""ML103: a file wants a symbol version that the distro's library does not offer."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.installed import loader_problems
from pytest_manylinux.diagnose.loader_words import Refusal, read_words
from pytest_manylinux.diagnose.symbol_origin import first_releases
from pytest_manylinux.diagnose.versioned_symbols import Excess, excesses, wanted_symbols
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    for excess in excesses(facts, target.distro):
        yield _finding(
            excess,
            [f"{target.distro.id} offers up to {excess.namespace}_{excess.offered}"],
            Severity.ERROR,
            facts,
        )


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
    namespace, _, number = version.rpartition("_")
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
    return CHECK.finding(
        f"{where} wants {version}, which is newer than this distro",
        evidence=evidence,
        severity=severity,
        files=excess.files,
    )


CHECK = Check(
    code="ML103",
    name="symbol-too-new",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
