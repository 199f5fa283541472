"""Facts x catalogue -> builds and trials. Pure: no I/O, ordered, testable as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from packaging.tags import Tag

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import (
    ArchiveRecipe,
    Distro,
    Interpreter,
    InterpreterOrigin,
    Target,
    added_prefix,
)
from pytest_manylinux.model.packages import PackageManager
from pytest_manylinux.model.policy import LibcKind, Policy, PolicyChoice, policy_of_platform_tag
from pytest_manylinux.model.python import Implementation, PythonVersion
from pytest_manylinux.model.wheel import admitted_releases
from pytest_manylinux.model.wheel_tags import (
    asking,
    oldest_built,
    python_of_tag,
    python_tags,
    supported_tags,
)

AddPython = Callable[[PythonVersion, Target], Interpreter | None]
"""Gives a Python that no distro packages for the distro and architecture of a target, or None."""


def no_others(_version: PythonVersion, _place: Target) -> Interpreter | None:
    """The AddPython of a run that has no Pythons but those of distros."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBuild:
    """One build of a project: `cp311-manylinux1_x86_64`, or `cp311-manylinux_auto_x86_64`.

    `root` is the target in whose distro's root it is built; None if only a builder image will do.
    """

    python: PythonVersion
    choice: PolicyChoice
    arch: str
    root: Target | None

    @property
    def policy(self) -> Policy:
        """The policy to build for; with `auto` the first to try."""
        return self.choice.policy

    @property
    def id(self) -> str:
        """As in node ids; cibuildwheel's build identifiers look the same."""
        return f"{self.python.id}-{self.choice.name}_{self.arch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPlan:
    """Builds, oldest Python first, and for each the targets that its wheel is tried on.

    `unbuildable` are wanted Pythons that no root of the catalogue has headers for, `without_target` the
    policies whose C library no target has.
    """

    builds: tuple[tuple[PlannedBuild, tuple[Target, ...]], ...]
    unbuildable: tuple[PythonVersion, ...] = ()
    without_target: tuple[Policy, ...] = ()

    def __add__(self, other: ProjectPlan) -> ProjectPlan:
        """Both, one after the other: the plans of two architectures, or of two policies."""
        return ProjectPlan(
            builds=self.builds + other.builds,
            unbuildable=tuple(dict.fromkeys(self.unbuildable + other.unbuildable)),
            without_target=tuple(dict.fromkeys(self.without_target + other.without_target)),
        )


def targets_of(
    distros: Iterable[Distro], arch: str, pythons: Collection[PythonVersion]
) -> tuple[Target, ...]:
    """Every distro x interpreter on `arch`, in the order of the distros; all Pythons if none named."""
    return tuple(
        Target(distro=distro, arch=arch, interpreter=interpreter)
        for distro in distros
        if arch in distro.architectures
        for interpreter in distro.interpreters
        if not pythons or interpreter.version in pythons
    )


def accepts_python(requires_python: str, version: PythonVersion) -> bool:
    """Whether a Requires-Python admits some release of the feature version.

    A bound inside the series (`>=3.9.5`) is left for the distro's own pip to judge. A specifier that
    cannot be read excludes nothing.
    """
    return admitted_releases(requires_python, version.dotted) > 0


def wheel_targets(
    tags: Collection[Tag], requires_python: str, targets: Iterable[Target]
) -> tuple[Target, ...]:
    """The targets that can take a wheel with these tags.

    One whose Python is tried with what names it only (`Interpreter.only_named`) wants a tag that does.
    """
    return tuple(
        target
        for target in targets
        if accepts_python(requires_python, target.interpreter.version)
        and not supported_tags(target).isdisjoint(asking(tags, target.interpreter))
    )


def promised_targets(
    tags: Collection[Tag], requires_python: str, distros: Sequence[Distro], *, arch: str = "x86_64"
) -> tuple[Target, ...]:
    """The targets that a wheel's platform tags promise, in the order of the distros.

    A distro counts on each architecture where its C library keeps a policy that the tags name (PEP 600,
    PEP 656); `any` promises all, `linux_ARCH` nothing. There the targets are those of the distro's own
    Pythons that take the wheel, else the oldest Python that does, of the wheel's tags and of the other
    distros: users bring one from elsewhere (conda, uv, PyPy's own builds), with a pip of its own.
    A wheel that names no architecture is looked at on `arch`.
    """
    promising = frozenset(tag for tag in tags if not tag.platform.startswith("linux_"))
    named = {split[1] for tag in promising if (split := policy_of_platform_tag(tag.platform))}
    pythons = _takers(promising, requires_python, distros)
    found: list[Target] = []
    for distro in distros:
        for one in sorted((named or {arch}).intersection(distro.architectures)):
            own = wheel_targets(promising, requires_python, targets_of((distro,), one, ()))
            brought = (Target(distro=distro, arch=one, interpreter=python) for python in pythons)
            other = (target for target in brought if not supported_tags(target).isdisjoint(promising))
            found.extend(own or islice(other, 1))
    return tuple(found)


def _takers(
    tags: Collection[Tag], requires_python: str, distros: Iterable[Distro]
) -> list[Interpreter]:
    """Pythons from elsewhere that may take the wheel, the oldest first."""
    packaged = {(one.version, one.abi) for distro in distros for one in distro.interpreters}
    named = {(version, _abi(tag, version)) for tag in tags if (version := python_of_tag(tag))}
    return [
        Interpreter(
            version=version,
            executable=f"{added_prefix(version)}/bin/python3",
            packages=(),
            abi=abi,
            origin=InterpreterOrigin.STANDALONE,
        )
        for version, abi in sorted(packaged | named)
        if accepts_python(requires_python, version)
    ]


def _abi(tag: Tag, version: PythonVersion) -> str:
    """The ABI tag where the version does not tell it: PyPy's and GraalPy's, such as `pypy311_pp73`."""
    own = version.implementation is not Implementation.CPYTHON and tag.abi != "none"
    return tag.abi if own else ""


def source_interpreter(
    version: PythonVersion, distro: Distro, rows: Iterable[Distro]
) -> Interpreter | None:
    """A CPython that is built in a distro's root from a source package; None where none can be.

    `rows` are all of the catalogue: those of the distro's archive that package the release have its
    source, and rolling ones may. Where none does, those of other archives are taken: upstream's part is
    the same everywhere.
    """
    archive = distro.archive
    if archive is None or version.implementation is not Implementation.CPYTHON:
        return None
    if distro.package_manager != PackageManager.APT.value or not distro.libc.is_glibc():
        return None
    live = [row for row in rows if row.archive is not None and row.archive.live]
    own = [row for row in live if row.archive is not None and row.archive.origin == archive.origin]
    others = [row for row in live if row not in own]
    sources = _sources(version, distro, own) or _sources(version, distro, others)
    added = added_interpreter(version, distro, InterpreterOrigin.SOURCE)
    return replace(added, sources=sources) if sources else None


def _sources(
    version: PythonVersion, distro: Distro, rows: Sequence[Distro]
) -> tuple[ArchiveRecipe, ...]:
    """The archives of the rows, those that have a release's source first; none if it is in none."""
    having = {
        row.id for row in rows if version.release in {i.version.release for i in row.interpreters}
    }
    usable = [row for row in rows if row.id in having or (having and row.rolling)]
    ordered = sorted(usable, key=lambda row: (row.id != distro.id, row.rolling, row.id not in having))
    # The Release files of rolling suites may be past their dates: only the distro's own rule is known.
    return tuple(
        replace(row.archive, check_valid_until=row.archive.check_valid_until and row.id == distro.id)
        for row in ordered
        if row.archive is not None
    )


def added_interpreter(version: PythonVersion, distro: Distro, origin: InterpreterOrigin) -> Interpreter:
    """A Python that comes into the root that a distro's own default Python has."""
    return Interpreter(
        version=version,
        executable=f"{added_prefix(version)}/bin/python3",
        packages=distro.interpreters[0].packages if distro.interpreters else (),
        origin=origin,
        caretaker=_caretaker(version, distro),
    )


def _caretaker(version: PythonVersion, distro: Distro) -> str:
    """GraalPy is a process of many threads, which cannot be forked: it has no os.fork."""
    needed = version.implementation is Implementation.GRAALPY
    return next((one.executable for one in distro.interpreters if needed), "")


def other_targets(
    tags: Collection[Tag], chosen: Sequence[Target], add: AddPython
) -> tuple[Target, ...]:
    """Targets for those of a wheel's Pythons that no chosen distro packages.

    Each is tried on the oldest and on the newest distro of `chosen` (targets of all Pythons that the
    chosen distros package) that the wheel's policy admits, by architecture.
    """
    found: dict[str, Target] = {}
    for arch in dict.fromkeys(target.arch for target in chosen):
        here = [target for target in chosen if target.arch == arch]
        for version in sorted(_unpackaged(tags, here)):
            with_it = _with_added(version, here, add)
            fitting = [one for one in with_it if not supported_tags(one).isdisjoint(tags)]
            for target in (fitting[0], fitting[-1]) if fitting else ():
                found.setdefault(target.id, target)
    return tuple(found.values())


def _unpackaged(tags: Collection[Tag], targets: Sequence[Target]) -> set[PythonVersion]:
    """The Pythons of a wheel that no target has, whatever its glibc."""
    packaged = {
        (tag.interpreter, tag.abi)
        for version, abi in {(t.interpreter.version, t.interpreter.own_abi) for t in targets}
        for tag in python_tags(version, abi, ("any",))
    }
    left = (tag for tag in tags if (tag.interpreter, tag.abi) not in packaged)
    return {version for tag in left if (version := python_of_tag(tag)) is not None}


def _with_added(version: PythonVersion, chosen: Iterable[Target], add: AddPython) -> list[Target]:
    """The distros of the targets, each with the Python that is added to it, the oldest glibc first."""
    places = {target.distro.id: target for target in chosen}.values()
    return [
        replace(place, interpreter=interpreter)
        for place in sorted(places, key=lambda place: place.distro.libc)
        if (interpreter := add(version, place)) is not None
    ]


def plan_project(
    *,
    policy: PolicyChoice,
    requires_python: str,
    targets: Sequence[Target],
    builders: Sequence[Distro],
    pythons: Sequence[PythonVersion],
    arch: str,
    in_image: bool = False,
    chosen: Sequence[Target] = (),
    add: AddPython = no_others,
) -> ProjectPlan:
    """Plan one build for each Python that a target has (or that is named), with its trials.

    Targets of another C library than the policy's are none of its.
    `builders` are the distros whose roots can build, best first. With `in_image` no root is wanted:
    a builder image has the Pythons that it has.
    A named Python that no distro of `chosen` packages (targets of all Pythons that they package) is
    tried where `other_targets` has it, and built with the headers that come with it.
    """
    targets = [target for target in targets if target.distro.libc.kind is policy.kind]
    if not targets and not pythons:
        return ProjectPlan(builds=(), without_target=(policy.policy,))
    targets = [target for target in targets if not target.interpreter.only_named]
    wanted = sorted(set(pythons) or {target.interpreter.version for target in targets})
    wanted = [version for version in wanted if accepts_python(requires_python, version)]
    builds: list[tuple[PlannedBuild, tuple[Target, ...]]] = []
    unbuildable: list[PythonVersion] = []
    for version in wanted:
        fitting = _targets_for(version, policy.policy, targets)
        if version not in {one.interpreter.version for one in (*targets, *chosen)}:
            fitting = _on_added(version, policy.policy, chosen, add)
        root = None
        if not in_image:
            root = _packaged_root(version, builders, arch)
            if root is None and policy.kind is LibcKind.GLIBC:
                root = _added_root(version, fitting, builders, arch, add)
        if root is None and not in_image:
            unbuildable.append(version)
            continue
        build = PlannedBuild(python=version, choice=policy, arch=arch, root=root)
        builds.append((build, fitting))
    return ProjectPlan(builds=tuple(builds), unbuildable=tuple(unbuildable))


def _on_added(
    version: PythonVersion, policy: Policy, chosen: Sequence[Target], add: AddPython
) -> tuple[Target, ...]:
    """The oldest and the newest chosen distro that keep the policy, each with the Python added."""
    found = [one for one in _with_added(version, chosen, add) if one.distro.libc.keeps(policy)]
    return tuple({one.id: one for one in (found[0], found[-1])}.values()) if found else ()


def _added_root(
    version: PythonVersion,
    fitting: Sequence[Target],
    builders: Sequence[Distro],
    arch: str,
    add: AddPython,
) -> Target | None:
    """Where to build with the headers of an added CPython: where the wheel is tried, if possible."""
    if version.implementation is not Implementation.CPYTHON:
        return None
    added = (one for one in fitting if one.interpreter.origin is not InterpreterOrigin.DISTRO)
    others = (
        Target(distro=distro, arch=arch, interpreter=interpreter)
        for distro in builders
        for place in targets_of((distro,), arch, ())[:1]
        if (interpreter := add(version, place)) is not None
    )
    return next(
        (one for one in chain(added, others) if one.distro.has_archive(arch, on_mirrors=True)), None
    )


def _packaged_root(version: PythonVersion, builders: Sequence[Distro], arch: str) -> Target | None:
    return next(
        (
            Target(distro=distro, arch=arch, interpreter=interpreter)
            for distro in builders
            if distro.has_archive(arch, on_mirrors=True)
            for interpreter in distro.interpreters
            if interpreter.version == version and interpreter.headers
        ),
        None,
    )


def _targets_for(
    version: PythonVersion, policy: Policy, targets: Iterable[Target]
) -> tuple[Target, ...]:
    """The targets with a build's Python and a C library that keeps its policy."""
    return tuple(
        target
        for target in targets
        if target.interpreter.version == version and target.distro.libc.keeps(policy)
    )


def takes(target: Target, platforms: Iterable[str]) -> bool:
    """Whether a target's C library keeps one of the policies that platform tags name; `any` is none."""
    named = [found[0] for name in platforms if (found := policy_of_platform_tag(name)) is not None]
    return not named or any(target.distro.libc.keeps(policy) for policy in named)


def check_policy(policy: Policy, arch: str, *, where: str) -> None:
    """Raise UsageError for a policy that does not exist on the architecture, or has no rules there."""
    oldest = oldest_built(policy.kind, arch)
    if policy < oldest:
        raise UsageError(
            f"{where}: there is no {policy} on {arch}",
            why=f"the oldest policy defined for {arch} is {oldest}",
            remedy=f"use {oldest} or a newer policy; auto takes the oldest of each architecture",
        )
