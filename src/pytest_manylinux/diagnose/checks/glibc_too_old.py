"""ML206: the tag asks for a newer glibc than the distro has."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.GLIBC:
        yield _finding(fit.tag.platform, target, ())


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.GLIBC:
            yield _finding(fit.tag.platform, target, refusal.lines)


def _finding(platform: str, target: Target, lines: tuple[str, ...]) -> Finding:
    policy = policy_of_platform_tag(platform)
    wanted = ".".join(map(str, policy[0].glibc)) if policy else "a newer one"
    have = ".".join(map(str, target.distro.glibc))
    return CHECK.finding(
        f"the tag {platform} asks for glibc {wanted}; {target.distro.id} has {have}", evidence=lines
    )


CHECK = Check(
    code="ML206",
    name="glibc-too-old",
    severity=Severity.ERROR,
    title="The tag asks for a newer glibc than the distro has",
    meaning=(
        "manylinux_X_Y promises to work wherever glibc is X.Y or newer, and pip refuses the wheel "
        "where it is older. That is as it should be if the code needs it; often the code does not, "
        "and only the build image was newer than it had to be."
    ),
    by_hand="ldd --version | head -1; auditwheel show WHEEL",
    remedies=(
        Remedy(
            words=(
                "build for an older policy; if the bytes already keep an older one (auditwheel show "
                "says so), repair with --plat for that one"
            )
        ),
    ),
    links=(Link(title="PEP 600", address="https://peps.python.org/pep-0600/"),),
    static=_static,
    dynamic=_dynamic,
)
