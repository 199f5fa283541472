"""Tags and Requires-Python that keep the distro's pip from taking a wheel."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit, first_pip, is_unknown
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import RELEASES, WheelFacts, admitted_releases
from pytest_manylinux.model.wheel_tags import oldest_policy

# ML201: the distro's own pip does not know the wheel's tag.


def _tag_unsupported_by_pip_static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.PIP:
        platform, pip = fit.tag.platform, target.distro.pip_of(target.interpreter)
        if is_unknown(platform):
            yield TAG_UNSUPPORTED_BY_PIP.finding(
                f"no pip knows the tag {platform}", evidence=[_why_no_pip(platform)]
            )
            return
        yield TAG_UNSUPPORTED_BY_PIP.finding(
            f"pip {pip} of {target.distro.id} does not know the tag {platform}",
            evidence=[f"the first pip that knows {platform} is {first_pip(platform)}"],
        )


def _why_no_pip(platform: str) -> str:
    policy = policy_of_platform_tag(platform)
    if policy is None:
        return "installers compare text: manylinux_X_Y is written without leading zeros, X from 2 on"
    lowest = oldest_policy(policy[0].kind, policy[1]).libc
    return f"the lowest {lowest.kind.value} of a tag for {policy[1]} is {lowest.number}"


def _tag_unsupported_by_pip_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is None or refusal.kind is not PipRefusal.TAG:
        return
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit in {Misfit.PIP, None}:
        platform = fit.tag.platform
        first = first_pip(platform)
        known = [f"the first pip that knows {platform} is {first}"] if first else []
        yield TAG_UNSUPPORTED_BY_PIP.finding(
            f"pip {refusal.pip} of {target.distro.id} does not take the tag {fit.tag}",
            evidence=[*refusal.lines, *known],
        )


TAG_UNSUPPORTED_BY_PIP = Check(
    code="ML201",
    name="tag-unsupported-by-pip",
    severity=Severity.ERROR,
    static=_tag_unsupported_by_pip_static,
    dynamic=_tag_unsupported_by_pip_dynamic,
)


# ML206: the tag asks for a newer C library than the distro has.


def _glibc_too_old_static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.LIBC_VERSION:
        yield _glibc_too_old_finding(fit.tag.platform, target, ())


def _glibc_too_old_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.LIBC_VERSION:
            yield _glibc_too_old_finding(fit.tag.platform, target, refusal.lines)


def _glibc_too_old_finding(platform: str, target: Target, lines: tuple[str, ...]) -> Finding:
    policy = policy_of_platform_tag(platform)
    have = target.distro.libc
    wanted = str(policy[0].libc) if policy else f"a newer {have.kind.value}"
    return GLIBC_TOO_OLD.finding(
        f"the tag {platform} asks for {wanted}; {target.distro.id} has {have.number}", evidence=lines
    )


GLIBC_TOO_OLD = Check(
    code="ML206",
    name="glibc-too-old",
    severity=Severity.ERROR,
    static=_glibc_too_old_static,
    dynamic=_glibc_too_old_dynamic,
)


# ML203: Requires-Python excludes the distro's Python.


def _requires_python_static(facts: WheelFacts, target: Target) -> Findings:
    dotted = target.interpreter.version.dotted
    admitted = admitted_releases(facts.requires_python, dotted)
    if not admitted:
        yield REQUIRES_PYTHON.finding(
            f"the wheel requires Python {facts.requires_python}; {target.distro.id} has {dotted}"
        )
    elif admitted < RELEASES:  # which release the distro has is not in its row
        yield REQUIRES_PYTHON.finding(
            f"the wheel requires Python {facts.requires_python}, not every release of {dotted}; "
            f"{target.distro.id} has one of them",
            severity=Severity.INFORMATION,
        )


def _requires_python_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.PYTHON:
        yield REQUIRES_PYTHON.finding(
            f"the wheel requires Python {facts.requires_python}; {target.distro.id} has "
            f"{observation.python or target.interpreter.version.dotted}",
            evidence=refusal.lines,
        )


REQUIRES_PYTHON = Check(
    code="ML203",
    name="requires-python",
    severity=Severity.ERROR,
    static=_requires_python_static,
    dynamic=_requires_python_dynamic,
)
