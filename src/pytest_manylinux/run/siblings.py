"""Wheels that meet each other's requirements: those of one run, and what lies with them in dist/.

A monorepo's projects require each other in releases that no index has yet. So what this run builds or
was given is taken for what requires its project, before the index is asked, as long as version, Python
and platform fit; after that, wheels in the folder `dist` or `wheelhouse` that a given wheel lies in,
and in `dist` of the root folder. Otherwise the index decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from pytest_manylinux.errors import DependencyError, ManylinuxError
from pytest_manylinux.escape import printable
from pytest_manylinux.inspect.requirements import applies
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.wheel import SiblingWheel, Wheel
from pytest_manylinux.model.wheel_tags import installable_tags, supported_tags
from pytest_manylinux.plan import PlannedBuild, ProjectPlan
from pytest_manylinux.run.subjects import (
    BuildJob,
    Origin,
    ProjectSubject,
    Read,
    WheelSubject,
    key_of,
    settings_of,
    tags_of_name,
)

OUTPUT_FOLDERS = frozenset({"dist", "wheelhouse"})
"""Where build front ends and cibuildwheel put what was built together."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Something whose requirements are to be met: a wheel on a target, or a build.

    `what` names it for people, `name` is its project's, of which nothing is taken. `tags` are those
    that can be installed there. `builds`: it is a build, which others may wait for.
    """

    what: str
    name: str
    origin: Origin
    python: PythonVersion
    arch: str
    tags: frozenset[Tag]
    builds: bool = False


def consumer_on(target: Target, origin: Origin, wheel: Wheel) -> Consumer:
    """A wheel that is tried on a target."""
    return Consumer(
        what=wheel.filename,
        name=wheel.name,
        origin=origin,
        python=target.interpreter.version,
        arch=target.arch,
        tags=frozenset(supported_tags(target)),
    )


def consumer_building(job: BuildJob) -> Consumer:
    """A build, with what its back end requires; its Python sees what the policy's own glibc takes.

    In a root of the other C library what the back end requires is the root's own.
    """
    build, project = job.build, job.subject.project
    tags = set() if build.root is None else set(supported_tags(build.root))
    if build.root is None or build.root.distro.libc.kind is build.policy.kind:
        tags |= installable_tags(build.python, build.policy.libc, build.arch, build.python.abi)
    return Consumer(
        what=f"{job.subject.group} ({build.id})",
        name=project.name,
        origin=job,
        python=build.python,
        arch=build.arch,
        tags=frozenset(tags),
        builds=True,
    )


class Siblings:
    """What a run has of each project. `dist` is the root folder's own folder of that name.

    `facts` gives the reading of a wheel, after its build. All of it is for the thread of the tasks,
    after collection.
    """

    def __init__(self, dist: Path, facts: Callable[[Origin], Awaitable[Read]]) -> None:
        self._facts = facts
        self._projects: dict[Path, tuple[ProjectSubject, ProjectPlan]] = {}
        self._wheels: dict[Path, WheelSubject] = {}
        self._folders: dict[Path, None] = {dist: None}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._lying: dict[Path, tuple[tuple[str, Version, Path], ...]] = {}
        self._waits: defaultdict[Key, set[Key]] = defaultdict(set)

    def add_project(self, subject: ProjectSubject, plan: ProjectPlan) -> None:
        """Take note of a project that this run builds."""
        path = subject.project.path
        if path not in self._projects and plan.builds:
            self._projects[path] = (subject, plan)
            self._by_name[subject.project.name].append(path)

    def add_wheel(self, subject: WheelSubject) -> None:
        """Take note of a wheel that this run was given."""
        if subject.path.parent.name in OUTPUT_FOLDERS:
            self._folders[subject.path.parent] = None
        if subject.path not in self._wheels and subject.tags:
            self._wheels[subject.path] = subject
            self._by_name[_release(subject.path)[0]].append(subject.path)

    async def meet(
        self, lines: Iterable[str], consumer: Consumer, own: Iterable[str] = ()
    ) -> tuple[SiblingWheel, ...]:
        """The wheels that meet these requirements, and what those require, as far as there are any.

        `own` is what the consumer's wheel requires, for a requirement of its own extras. Raises
        DependencyError where the wheel that a requirement is for could not be built or read.
        """
        found: dict[str, Read | None] = {}
        done: set[tuple[str, frozenset[str]]] = set()
        asked = [(line, frozenset[str]()) for line in lines]
        while asked:
            requirement = _applying(*asked.pop(0), consumer)
            if requirement is None:
                continue
            name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if (name, extras) in done:
                continue
            done.add((name, extras))
            if name == consumer.name:
                asked += [(line, extras) for line in own if extras]
                continue
            if name not in found:
                found[name] = await self._read(name, requirement, consumer)
            if read := found[name]:
                asked += [(line, extras) for line in read.facts.requires_dist]
        wanted = {name: sorted({e for n, some in done if n == name for e in some}) for name in found}
        return tuple(
            SiblingWheel(wheel=read.wheel, extras=tuple(wanted[name]))
            for name, read in found.items()
            if read is not None
        )

    async def _read(self, name: str, requirement: Requirement, consumer: Consumer) -> Read | None:
        """The wheel for a requirement, with its facts; None if there is none that fits."""
        for origin in self._origins(name, requirement, consumer):
            self._wait(consumer, origin, name)
            try:
                read = await self._facts(origin)
            except ManylinuxError as error:
                raise DependencyError(
                    f"{name}, which {consumer.what} requires, is part of this run and failed",
                    why=f"{error.what}\n{error.why}".strip(),
                    remedy=error.remedy,
                ) from error
            fits = requirement.specifier.contains(read.wheel.version, prereleases=True)
            if fits and not consumer.tags.isdisjoint(read.wheel.tags):
                return read
        return None

    def _origins(self, name: str, requirement: Requirement, consumer: Consumer) -> Iterator[Origin]:
        """What may hold the requirement, the best first: projects, then wheels, the newest first."""
        if requirement.url:
            return  # it says itself from where
        wheels = []
        for path in self._by_name.get(name, ()):
            if path in self._projects:
                subject, plan = self._projects[path]
                if _may_fit(subject.project.version, requirement):
                    yield _build_for(consumer, subject, plan)
            else:
                wheels.append((_release(path)[1], path))
        for path in _newest_first(wheels, requirement, consumer):
            yield self._wheels[path]
        lying = [(version, path) for named, version, path in self._with_them() if named == name]
        for path in _newest_first(lying, requirement, consumer):
            yield WheelSubject(
                path=path,
                settings=settings_of(consumer.origin),
                group=printable(str(path)),
                tags=tags_of_name(path),
            )

    def _with_them(self) -> Iterator[tuple[str, Version, Path]]:
        """Wheels in the folders of what was given, the run's own left out; each folder read once."""
        for folder in self._folders:
            if folder not in self._lying:
                paths = sorted(folder.glob("*.whl")) if folder.is_dir() else []
                known = (path for path in paths if path.is_file() and not path.is_symlink())
                self._lying[folder] = tuple((*_release(path), path) for path in known)
            yield from (row for row in self._lying[folder] if row[2] not in self._wheels)

    def _wait(self, consumer: Consumer, origin: Origin, name: str) -> None:
        """Note that a build waits for another one; raises DependencyError where that is a circle.

        A trial waits too, but nothing waits for it: wheels may require each other when installed.
        """
        if not (consumer.builds and isinstance(origin, BuildJob)):
            return
        waiting, for_ = key_of(consumer.origin), key_of(origin)
        if waiting == for_ or _reaches(self._waits, for_, waiting):
            raise DependencyError(
                f"{consumer.what} requires {name} to build, which requires it in turn",
                why="neither can be built before the other",
                remedy="take one of the two out of build-system.requires",
            )
        self._waits[waiting].add(for_)


def in_order(groups: Mapping[Path, ProjectSubject | None]) -> list[Path]:
    """The paths of a run, each project after those that it requires; otherwise as they came.

    By what the projects' files say. Of a circle, the first that came is the first.
    """
    names = {one.project.name: path for path, one in groups.items() if one and one.project.name}
    order: dict[Path, None] = {}
    open_: set[Path] = set()

    def visit(path: Path) -> None:
        if path in order or path in open_:
            return
        open_.add(path)
        subject = groups[path]
        lines = (*subject.project.build_requires, *subject.project.requires) if subject else ()
        for line in lines:
            if (name := _name(line)) in names:
                visit(names[name])
        order[path] = None

    for path in groups:
        visit(path)
    return list(order)


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""


def _applying(line: str, extras: frozenset[str], consumer: Consumer) -> Requirement | None:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None  # pip says so
    return requirement if applies(line, consumer.python, consumer.arch, extras) else None


def _release(path: Path) -> tuple[str, Version]:
    """Name and version in a wheel's file name; nothing, and version 0, for what is not one's."""
    try:
        return parse_wheel_filename(path.name)[:2]
    except InvalidWheelFilename:
        return "", Version("0")


def _newest_first(
    wheels: Iterable[tuple[Version, Path]], requirement: Requirement, consumer: Consumer
) -> list[Path]:
    fitting = [
        (version, path)
        for version, path in wheels
        if requirement.specifier.contains(version, prereleases=True)
        and not consumer.tags.isdisjoint(tags_of_name(path))
    ]
    return [path for _, path in sorted(fitting, key=lambda row: row[0], reverse=True)]


def _may_fit(version: str, requirement: Requirement) -> bool:
    """Whether a project's version meets the requirement, or only its build will tell."""
    try:
        return not version or requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _build_for(consumer: Consumer, subject: ProjectSubject, plan: ProjectPlan) -> BuildJob:
    """The build of a project whose wheel is for the consumer's platform and Python, else its first one.

    The platform counts first: a wheel may be for several Pythons, but never for the other C library.
    """
    builds = [build for build, _ in plan.builds]
    platforms = {tag.platform for tag in consumer.tags}

    def rank(build: PlannedBuild) -> tuple[bool, bool, bool]:
        apart = platforms.isdisjoint(build.policy.platform_tags(build.arch))
        return (apart, build.python != consumer.python, build.arch != consumer.arch)

    position = min(range(len(builds)), key=lambda number: (rank(builds[number]), number))
    return BuildJob(subject=subject, build=builds[position], earlier=tuple(builds[:position]))


def _reaches(waits: Mapping[Key, set[Key]], start: Key, goal: Key) -> bool:
    seen, left = {start}, [start]
    while left:
        for other in waits.get(left.pop(), ()):
            if other == goal:
                return True
            if other not in seen:
                seen.add(other)
                left.append(other)
    return False
