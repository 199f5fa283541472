"""What went wrong while the distro's pip, or uv, installed a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.inspect.requirements import contradictory_requirements
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import FileDifference, Observation, UvInstall, last_lines
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML205: the distro's pip did not install the wheel, for a reason that no other finding names.

STRICT = Version("24.1")
"""The first pip with packaging 24, which reads neither versions outside PEP 440 nor `>=2.*`."""


def _install_failed_static(facts: WheelFacts, target: Target) -> Findings:
    pip = target.distro.pip_of(target.interpreter)
    for breach in _refused_requirements(facts, strict=_is_strict(pip)):
        yield INSTALL_FAILED.finding(
            f"{breach}; pip {pip} of {target.distro.id} refuses it", remedy=_REMEDY
        )
    for words in _contradictions(facts, target):
        yield INSTALL_FAILED.finding(f"{words}: no pip installs it", remedy=_CONTRADICTION)


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


def _refused_requirements(facts: WheelFacts, *, strict: bool) -> Iterator[str]:
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


def _install_failed_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.CONTRADICTION:
        for words in _contradictions(facts, target, observation.extra_names):
            yield INSTALL_FAILED.finding(
                f"{words}; pip {refusal.pip}: {refusal.line}",
                evidence=refusal.lines,
                remedy=_CONTRADICTION,
            )
    if refusal is not None and refusal.kind in {PipRefusal.METADATA, PipRefusal.OTHER}:
        yield INSTALL_FAILED.finding(
            f"pip {refusal.pip} did not install the wheel: {refusal.line}",
            evidence=refusal.lines,
            remedy=_REMEDY if refusal.kind is PipRefusal.METADATA else "",
        )


_REMEDY = (
    "write versions as PEP 440 has them and >=2 for >=2.*, name requirements by project and version; a "
    "current build back end checks both"
)

_CONTRADICTION = "let the requirements on one project admit a version together, and on itself its own"

INSTALL_FAILED = Check(
    code="ML205",
    name="install-failed",
    severity=Severity.ERROR,
    static=_install_failed_static,
    dynamic=_install_failed_dynamic,
)


# ML204: a dependency is not available for the target.


def _dependency_unavailable(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.DEPENDENCY:
        yield DEPENDENCY_UNAVAILABLE.finding(
            f"a dependency cannot be had on {target.distro.id}: {refusal.line}",
            evidence=refusal.lines,
        )


DEPENDENCY_UNAVAILABLE = Check(
    code="ML204",
    name="dependency-unavailable",
    severity=Severity.WARNING,
    dynamic=_dependency_unavailable,
)


# ML207: what was installed is not what was judged.

_SHOWN = 20


def _installed_files_differ(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts
    found = observation.install.differences if observation.install else ()
    for severity, wanted in ((Severity.ERROR, False), (Severity.WARNING, True)):
        ours = [one for one in found if one.shared is wanted]
        if ours:
            count = f"{len(ours)} files differ" if len(ours) > 1 else "one file differs"
            yield INSTALLED_FILES_DIFFER.finding(
                f"{count} from the wheel after pip installed it on {target.distro.id}: {ours[0].path}",
                evidence=[_difference_line(one) for one in ours[:_SHOWN]],
                severity=severity,
            )


def _difference_line(one: FileDifference) -> str:
    whose = ", which another distribution lists too" if one.shared else ""
    return f"{one.path}: {one.kind.value}{whose}"


INSTALLED_FILES_DIFFER = Check(
    code="ML207",
    name="installed-files-differ",
    severity=Severity.ERROR,
    dynamic=_installed_files_differ,
)


# ML317: pip and uv do not install the wheel alike.

_UV_CAUSE = re.compile(
    r"^(?:\s*cause: |\s*Caused by: |error: )(?P<words>.+)$", re.MULTILINE | re.IGNORECASE
)

_OTHER_VARIANT = "unsupported wheel variant"  # uv 0.13.9


def _installers_disagree(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    pip, uv = observation.install, observation.uv
    if pip is None or uv is None:
        return
    if not uv.version:
        yield INSTALLERS_DISAGREE.finding(
            f"uv was not tried: it does not start there ({last_lines(uv.output, 1)})",
            severity=Severity.WARNING,
        )
        return
    if facts.wheel.variant and pip.ok and not uv.ok and _OTHER_VARIANT in uv.output:
        yield _other_variant(facts.wheel.variant, uv)
        return
    by_pip, by_uv = f"pip {pip.pip_version} installs it", f"uv {uv.version} installs it"
    evidence: list[str] = []
    if not pip.ok:
        refusal = refusal_of(facts, observation, target)
        words = refusal.line if refusal else last_lines(pip.output, 1)
        by_pip = f"pip {pip.pip_version} does not install it: {words}"
    if not uv.ok:
        by_uv = f"uv {uv.version} does not install it: {uv_sentence(uv)}"
        evidence = [f"uv said: {line}" for line in last_lines(uv.output).splitlines()]
    if pip.ok != uv.ok:
        # That pip refuses is an error of its own already.
        severity = Severity.ERROR if pip.ok else Severity.WARNING
        yield INSTALLERS_DISAGREE.finding(f"{by_pip}; {by_uv}", evidence=evidence, severity=severity)
    elif uv.unlike:
        yield _installed_unlike(uv)


def uv_sentence(uv: UvInstall) -> str:
    """The decisive sentence of uv: the last cause that it gives (its errors name one below another)."""
    causes = _UV_CAUSE.findall(uv.output)
    return causes[-1].strip() if causes else last_lines(uv.output, 1)


def _other_variant(label: str, uv: UvInstall) -> Finding:
    """The finding on a wheel variant (PEP 825) whose properties uv does not find on the machine."""
    return INSTALLERS_DISAGREE.finding(
        f"uv {uv.version} takes the wheel variant {label} only where the machine has its properties; "
        "pip was given the same file without the label in its name",
        evidence=[f"uv said: {line}" for line in last_lines(uv.output).splitlines()],
        severity=Severity.INFORMATION,
    )


def _installed_unlike(uv: UvInstall) -> Finding:
    """Both install it, and leave different files."""
    path, by_pip, by_uv = uv.unlike[0]
    more = f", and {len(uv.unlike) - 1} more files" if len(uv.unlike) > 1 else ""
    return INSTALLERS_DISAGREE.finding(
        f"pip and uv {uv.version} install {path} differently: {by_pip} by pip, {by_uv} by uv{more}",
        evidence=[f"{place}: {one} by pip, {two} by uv" for place, one, two in uv.unlike[:_SHOWN]],
        severity=Severity.WARNING,
    )


INSTALLERS_DISAGREE = Check(
    code="ML317",
    name="installers-disagree",
    severity=Severity.ERROR,
    dynamic=_installers_disagree,
)
