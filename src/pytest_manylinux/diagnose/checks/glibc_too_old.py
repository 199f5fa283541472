"""ML206: the tag asks for a newer C library than the distro has."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.LIBC_VERSION:
        yield _finding(fit.tag.platform, target, ())


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.LIBC_VERSION:
            yield _finding(fit.tag.platform, target, refusal.lines)


def _finding(platform: str, target: Target, lines: tuple[str, ...]) -> Finding:
    policy = policy_of_platform_tag(platform)
    have = target.distro.libc
    wanted = str(policy[0].libc) if policy else f"a newer {have.kind.value}"
    return CHECK.finding(
        f"the tag {platform} asks for {wanted}; {target.distro.id} has {have.number}", evidence=lines
    )


CHECK = Check(
    code="ML206",
    name="glibc-too-old",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
