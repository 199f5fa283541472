"""ML117: a file is for another processor than the tag says."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.elf_index import strangers
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

_OTHER_PLATFORM = (Misfit.ARCHITECTURE, Misfit.LIBC)


def _wheel(facts: WheelFacts) -> Findings:
    foreign, loadable = strangers(facts)
    if foreign:
        # A wheel may carry files for other machines as data; only what an import or a command
        # would load here is a fault.
        severity = Severity.ERROR if loadable else Severity.INFORMATION
        yield CHECK.finding(
            f"{foreign[0].path} is for {foreign[0].arch}, which the tag does not say",
            evidence=[f"{elf.path}: {elf.arch}" for elf in foreign],
            severity=severity,
            files=[elf.path for elf in foreign],
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit in _OTHER_PLATFORM:
        yield _tag_finding(fit.tag.platform, target, ())
    elif strangers(facts)[1]:
        yield from _wheel(facts)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit in _OTHER_PLATFORM:
            yield _tag_finding(fit.tag.platform, target, refusal.lines)
    found = list(blamed("wrong-architecture", facts, observation, target))
    if found:
        foreign = [elf for elf in facts.elf if elf.arch != target.arch]
        yield CHECK.finding(
            f"{found[0].subject}: the file is not for {target.arch}",
            evidence=[
                *(failure.line for failure in found),
                *(f"{elf.path}: {elf.arch}" for elf in foreign),
            ],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in foreign],
        )


def _tag_finding(platform: str, target: Target, lines: tuple[str, ...]) -> Finding:
    libc = target.distro.libc.kind.value
    return CHECK.finding(f"the tag {platform} is not for {target.arch} with {libc}", evidence=lines)


CHECK = Check(
    code="ML117",
    name="wrong-architecture",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
