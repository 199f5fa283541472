"""ML205: the distro's pip did not install the wheel, for a reason that no other finding names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.inspect.requirements import contradictory_requirements
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
    for words in _contradictions(facts, target):
        yield CHECK.finding(f"{words}: no pip installs it", remedy=_CONTRADICTION)


def _contradictions(facts: WheelFacts, target: Target, extras: Iterable[str] = ()) -> Iterator[str]:
    """Requirements of the wheel's own that no index can meet, in words."""
    for lines in contradictory_requirements(facts, target, extras):
        project, told = Requirement(lines[0]).name, " and ".join(map(repr, lines))
        if canonicalize_name(project) == facts.wheel.name:
            yield f"Requires-Dist {told} excludes the wheel's own version, {facts.wheel.version}"
        else:
            yield f"Requires-Dist {told} admits no version of {project}"


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
    if refusal is not None and refusal.kind is PipRefusal.CONTRADICTION:
        for words in _contradictions(facts, target, observation.extra_names):
            yield CHECK.finding(
                f"{words}; pip {refusal.pip}: {refusal.line}",
                evidence=refusal.lines,
                remedy=_CONTRADICTION,
            )
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

_CONTRADICTION = "let the requirements on one project admit a version together, and on itself its own"

CHECK = Check(
    code="ML205",
    name="install-failed",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
