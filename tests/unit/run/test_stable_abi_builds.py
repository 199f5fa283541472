"""Which build of a project serves several Pythons, and which of them wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_manylinux.building.project import Project
from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import BuildError
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.flow import Flow
from pytest_manylinux.run.subjects import BuildJob, Built, ProjectSubject
from pytest_manylinux.run.tasks import Tasks

PYTHONS = ("cp39", "cp311", "cp313", "cp314")
BUILDS = tuple(
    PlannedBuild(
        python=parse_python(one), choice=PolicyChoice(Policy((2, 5))), arch="x86_64", root=None
    )
    for one in PYTHONS
)


class Builds:
    """A project's builds, of which those for `failing` fail; the others give a wheel for `abi`."""

    def __init__(self, tasks: Tasks, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run: Any = SimpleNamespace(tasks=tasks, workspace=SimpleNamespace(say=print), own=folder)
        self.flow = Flow(run)
        self.made: list[str] = []
        self.failing: set[str] = set()
        self.abi = "abi3"
        monkeypatch.setattr(self.flow, "_attempt", self._attempt)

    async def _attempt(self, job: BuildJob, _: str, **__: object) -> Built:
        python = job.build.python.id
        self.made.append(python)
        if python in self.failing:
            raise BuildError("its rustc is too old")
        abi = "abi3" if self.abi == "abi3" else python
        wheel = Path(f"thing-1.0-{python}-{abi}-manylinux1_x86_64.whl")
        return Built(wheel=wheel, record=replace(_RECORD, python=python))

    def run(self, *, limited_api: bool) -> list[str]:
        """For each Python the one whose build's wheel it takes; `failed` if it has none."""
        project = Project(path=Path("thing"), is_sdist=False, limited_api=limited_api)
        subject = ProjectSubject(project=project, settings=merge(()), group="thing")
        jobs = [
            BuildJob(subject=subject, build=build, earlier=BUILDS[:position])
            for position, build in enumerate(BUILDS)
        ]
        futures = [self.flow.start(partial(self.flow.build, job)) for job in jobs]
        return [_taken(future) for future in futures]


def _taken(future: Future[Built]) -> str:
    try:
        record = future.result(20).record
    except BuildError:
        return "failed"
    return record.reused.partition("-")[0] or record.python


_RECORD = BuildRecord(project="thing", python="cp39", policy="manylinux1", builder="zig")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Builds]:
    tasks = Tasks(2)
    yield Builds(tasks, tmp_path, monkeypatch)
    tasks.stop()


def test_the_oldest_python_s_wheel_serves_all(builds: Builds) -> None:
    assert builds.run(limited_api=True) == ["cp39"] * 4
    assert builds.made == ["cp39"]


def test_where_it_does_not_build_the_next_one_s_serves_all_later_ones(builds: Builds) -> None:
    builds.failing = {"cp39", "cp311"}
    assert builds.run(limited_api=True) == ["failed", "failed", "cp313", "cp313"]
    assert builds.made == ["cp39", "cp311", "cp313"]


def test_without_a_stable_abi_each_python_has_its_own(builds: Builds) -> None:
    builds.abi = "own"
    builds.failing = {"cp39"}
    assert builds.run(limited_api=False) == ["failed", "cp311", "cp313", "cp314"]
    assert sorted(builds.made) == sorted(PYTHONS)


def test_a_stable_abi_that_nothing_hints_at_is_no_second_wheel_of_the_same_name(builds: Builds) -> None:
    builds.failing = {"cp39"}
    assert builds.run(limited_api=False) == ["failed", "cp311", "cp311", "cp311"]
    assert builds.made == ["cp39", "cp311"]
