"""ML205: the distro's pip did not install the wheel, for a reason that no other finding names."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

STRICT = Version("24.1")
"""The first pip with packaging 24, which reads neither versions outside PEP 440 nor `>=2.*`."""


def _static(facts: WheelFacts, target: Target) -> Findings:
    pip = target.distro.pip_of(target.interpreter)
    for breach in _refused(facts, strict=_is_strict(pip)):
        yield CHECK.finding(f"{breach}; pip {pip} of {target.distro.id} refuses it", remedy=_REMEDY)


def _is_strict(pip: str) -> bool:
    try:
        return bool(pip) and Version(pip) >= STRICT
    except InvalidVersion:
        return False


def _refused(facts: WheelFacts, *, strict: bool) -> Iterator[str]:
    """What a pip refuses in the metadata; older ones read versions and specifiers of any form."""
    if strict and not _is_version(facts.wheel.version):
        yield f"the version {facts.wheel.version!r} is not one of PEP 440"
    for line in facts.requires_dist:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            if strict:
                yield f"Requires-Dist {line!r} is not a requirement"
            continue
        extra = requirement.marker is not None and "extra" in str(requirement.marker)
        if (requirement.url or "").startswith("file:") and not extra:
            yield f"Requires-Dist {line!r} is a file of the build machine"


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind in {PipRefusal.METADATA, PipRefusal.OTHER}:
        yield CHECK.finding(
            f"pip {refusal.pip} did not install the wheel: {refusal.line}",
            evidence=refusal.lines,
            remedy=_REMEDY if refusal.kind is PipRefusal.METADATA else "",
        )


_REMEDY = (
    "write versions as PEP 440 has them and >=2 for >=2.*, name requirements by project and version; a "
    "current build back end checks both"
)

CHECK = Check(
    code="ML205",
    name="install-failed",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
