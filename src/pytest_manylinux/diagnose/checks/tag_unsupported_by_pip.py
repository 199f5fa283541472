"""ML201: the distro's own pip does not know the wheel's tag."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit, first_pip, is_unknown
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.model.wheel_tags import oldest_policy


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.PIP:
        platform, pip = fit.tag.platform, target.distro.pip_of(target.interpreter)
        if is_unknown(platform):
            yield CHECK.finding(f"no pip knows the tag {platform}", evidence=[_why_none(platform)])
            return
        yield CHECK.finding(
            f"pip {pip} of {target.distro.id} does not know the tag {platform}",
            evidence=[f"the first pip that knows {platform} is {first_pip(platform)}"],
        )


def _why_none(platform: str) -> str:
    policy = policy_of_platform_tag(platform)
    if policy is None:
        return "installers compare text: manylinux_X_Y is written without leading zeros, X from 2 on"
    lowest = oldest_policy(policy[0].kind, policy[1]).libc
    return f"the lowest {lowest.kind.value} of a tag for {policy[1]} is {lowest.number}"


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is None or refusal.kind is not PipRefusal.TAG:
        return
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit in {Misfit.PIP, None}:
        platform = fit.tag.platform
        first = first_pip(platform)
        known = [f"the first pip that knows {platform} is {first}"] if first else []
        yield CHECK.finding(
            f"pip {refusal.pip} of {target.distro.id} does not take the tag {fit.tag}",
            evidence=[*refusal.lines, *known],
        )


CHECK = Check(
    code="ML201",
    name="tag-unsupported-by-pip",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
