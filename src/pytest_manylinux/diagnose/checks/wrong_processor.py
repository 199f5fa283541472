"""Files for a processor that the tag does not promise."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.elf_index import strangers
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML110: a file needs a newer processor than the policy promises.


def _isa_files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    return tuple(elf for elf in loaded_files(facts) if elf.isa_level > 1)


def _isa_lines(files: tuple[ElfFacts, ...]) -> list[str]:
    return [f"{elf.path}: its note asks for x86-64-v{elf.isa_level}" for elf in files]


def _isa_level_wheel(facts: WheelFacts) -> Findings:
    files = _isa_files(facts)
    if files:
        level = max(elf.isa_level for elf in files)
        yield ISA_LEVEL.finding(
            f"{files[0].path} needs a processor of x86-64-v{level}; the tag promises any x86_64",
            evidence=_isa_lines(files),
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _or_a_trap(files: tuple[ElfFacts, ...]) -> str:
    """Compilers place such an instruction (ud2) themselves where code must not come."""
    return "" if files else ", or a trap of the code itself (ud2, __builtin_trap)"


def _isa_level_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("isa-level", facts, observation, target))
    if found:
        files, where = _isa_files(facts), observation.processor or "this processor"
        yield ISA_LEVEL.finding(
            f"{found[0].subject}: an instruction that {where} does not have{_or_a_trap(files)}",
            evidence=[*(failure.line for failure in found), *_isa_lines(files)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


ISA_LEVEL = Check(
    code="ML110",
    name="isa-level",
    severity=Severity.ERROR,
    wheel=_isa_level_wheel,
    dynamic=_isa_level_dynamic,
)


# ML117: a file is for another processor than the tag says.

_OTHER_PLATFORM = (Misfit.ARCHITECTURE, Misfit.LIBC)


def _wrong_architecture_wheel(facts: WheelFacts) -> Findings:
    foreign, loadable = strangers(facts)
    if foreign:
        # A wheel may carry files for other machines as data; only what an import or a command
        # would load here is a fault.
        severity = Severity.ERROR if loadable else Severity.INFORMATION
        yield WRONG_ARCHITECTURE.finding(
            f"{foreign[0].path} is for {foreign[0].arch}, which the tag does not say",
            evidence=[f"{elf.path}: {elf.arch}" for elf in foreign],
            severity=severity,
            files=[elf.path for elf in foreign],
        )


def _wrong_architecture_static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit in _OTHER_PLATFORM:
        yield _tag_finding(fit.tag.platform, target, ())
    elif strangers(facts)[1]:
        yield from _wrong_architecture_wheel(facts)


def _wrong_architecture_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit in _OTHER_PLATFORM:
            yield _tag_finding(fit.tag.platform, target, refusal.lines)
    found = list(blamed("wrong-architecture", facts, observation, target))
    if found:
        foreign = [elf for elf in facts.elf if elf.arch != target.arch]
        yield WRONG_ARCHITECTURE.finding(
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
    return WRONG_ARCHITECTURE.finding(
        f"the tag {platform} is not for {target.arch} with {libc}", evidence=lines
    )


WRONG_ARCHITECTURE = Check(
    code="ML117",
    name="wrong-architecture",
    severity=Severity.ERROR,
    wheel=_wrong_architecture_wheel,
    static=_wrong_architecture_static,
    dynamic=_wrong_architecture_dynamic,
)
