"""What a wheel requires on a target (dependency specifiers, PEP 508), and its contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.wheel import WheelFacts

_UNSURE = ("platform_release", "platform_version", "python_full_version", "implementation_version")


def needed_requirements(
    requires_dist: Iterable[str], target: Target, extras: Iterable[str] = ()
) -> tuple[str, ...]:
    """The requirements that apply on `target` with these extras (dependency specifiers, PEP 508).

    What cannot be told for certain from here, such as a marker on the kernel's release or a line
    that breaks the specification, counts as needed: the target's own pip then decides.
    """
    version = target.interpreter.version
    return tuple(line for line in requires_dist if applies(line, version, target.arch, extras))


def applies(line: str, version: PythonVersion, arch: str, extras: Iterable[str] = ()) -> bool:
    """Whether a requirement counts for this Python; see `needed_requirements`."""
    try:
        marker = Requirement(line).marker
    except InvalidRequirement:
        return True
    if marker is None or any(word in str(marker) for word in _UNSURE):
        return True
    environment = _environment(version, arch)
    return any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def requirements_of_extras(
    requires_dist: Iterable[str], target: Target, extras: Iterable[str]
) -> tuple[str, ...] | None:
    """What extras add on `target`, without markers; None where only the target's own pip can tell."""
    version, names, found = target.interpreter.version, tuple(extras), []
    for line in requires_dist if names else ():
        requirement = _read(line)
        if requirement is None or (_is_unsure(requirement) and "extra" in str(requirement.marker)):
            return None
        with_them = applies(line, version, target.arch, names)
        if with_them and not applies(line, version, target.arch):
            requirement.marker = None
            found.append(str(requirement))
    return tuple(found)


def _environment(version: PythonVersion, arch: str) -> dict[str, str]:
    return {
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": arch,
        "platform_python_implementation": version.implementation.in_markers,
        "implementation_name": version.implementation.full_name.lower(),
        "python_version": version.dotted,
    }


def contradictory_requirements(
    facts: WheelFacts, target: Target, extras: Iterable[str] = ()
) -> Iterator[tuple[str, ...]]:
    """The lines of Requires-Dist that no version satisfies together, whatever an index has.

    Of what the wheel requires of its own project, that is what its own version does not satisfy. A
    marker that cannot be told for certain from here counts as false.
    """
    groups: dict[str, list[Requirement]] = {}
    lines: dict[str, list[str]] = {}
    for line in needed_requirements(facts.requires_dist, target, extras):
        requirement = _read(line)
        if requirement is not None and not requirement.url and not _is_unsure(requirement):
            name = canonicalize_name(requirement.name)
            groups.setdefault(name, []).append(requirement)
            lines.setdefault(name, []).append(line)
    for project, requirements in groups.items():
        if _excludes(project, requirements, facts):
            yield tuple(lines[project])


def _excludes(name: str, requirements: Iterable[Requirement], facts: WheelFacts) -> bool:
    if name == facts.wheel.name:
        return not all(_admits(one, facts.wheel.version) for one in requirements)
    first, *others = (one.specifier for one in requirements)
    for specifier in others:
        first &= specifier
    return first.is_unsatisfiable()


def _admits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _read(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _is_unsure(requirement: Requirement) -> bool:
    return any(word in str(requirement.marker or "") for word in _UNSURE)
