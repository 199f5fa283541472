"""The values that the tasks of a run pass on: what a path stands for, what came of a build, a trial."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename

from pytest_manylinux.building.project import Project
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.escape import printable
from pytest_manylinux.model.distro import Survey, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.run import BuildRecord, WheelRecord
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.model.wheel import Wheel, WheelFacts
from pytest_manylinux.model.wheel_variants import parse_wheel_name
from pytest_manylinux.plan import PlannedBuild

_GIT = "git"  # the package's name with every package manager of the catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSubject:
    """A project folder or sdist with the settings that hold for it. `group` is its node path.

    `wheelhouse` is where its wheels go, if they are none of the run's own: those of a dependency.
    """

    project: Project
    settings: Settings
    group: str
    wheelhouse: Path | None = None

    @property
    def build_packages(self) -> tuple[str, ...]:
        """What a root to build in has besides compiler and headers: as set, and git if it is asked."""
        packages = self.settings.build_packages
        return (*packages, _GIT) if self.project.asks_git and _GIT not in packages else packages


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSubject:
    """A wheel file that somebody else built. `tags` is empty if the name is no wheel's name."""

    path: Path
    settings: Settings
    group: str
    tags: frozenset[Tag] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """One build of a project; `earlier` are the builds of it whose wheel may serve here too."""

    subject: ProjectSubject
    build: PlannedBuild
    earlier: tuple[PlannedBuild, ...] = ()


Origin = BuildJob | WheelSubject


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """One wheel, built by this run or given, on one target."""

    origin: Origin
    target: Target


def settings_of(origin: Origin) -> Settings:
    """The settings that hold for a wheel of this origin."""
    return origin.subject.settings if isinstance(origin, BuildJob) else origin.settings


def group_of(origin: Origin) -> str:
    """The node path that the wheel is reported under."""
    return origin.subject.group if isinstance(origin, BuildJob) else origin.group


def name_of(origin: Origin) -> str:
    """What stands in for the wheel's file name as long as there is no wheel."""
    return origin.subject.group if isinstance(origin, BuildJob) else printable(origin.path.name)


def key_of(origin: Origin) -> tuple[str, str]:
    """A key that tells origins apart within a run."""
    if isinstance(origin, BuildJob):
        return (os.fspath(origin.subject.project.path), origin.build.id)
    return (os.fspath(origin.path), "")


def tags_of_name(path: Path) -> frozenset[Tag]:
    """The tags in a wheel's file name; empty where the name breaks the specification."""
    try:
        return parse_wheel_name(path.name)[3]
    except InvalidWheelFilename:
        return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that gave a wheel; `record` tells how, and if it was an earlier build's wheel.

    `facts` are what the build has read of the wheel; None where it was an earlier build's.
    """

    wheel: Path
    record: BuildRecord
    facts: WheelFacts | None = None

    def reused(self, python: str, of: str) -> Built:
        """The same wheel as that of another Python's build, which `of` was made for."""
        of = self.record.reused or of
        return replace(self, record=replace(self.record, python=python, reused=of, duration=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A wheel with its facts and, where this run built it, the build's record."""

    wheel: Wheel
    facts: WheelFacts
    record: BuildRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict and the wheel it is about; None where there is no wheel."""

    verdict: Verdict
    wheel: WheelRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen of a trial; `key` is what is kept of it under. `survey` is that of its image."""

    key: str
    observation: Observation
    survey: Survey | None
