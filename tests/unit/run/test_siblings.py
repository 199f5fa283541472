"""Wheels of a run that meet each other's requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trial_values import make_facts, make_target, make_wheel

from pytest_manylinux.building.project import Project
from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import BuildError, DependencyError
from pytest_manylinux.model.policy import Libc, LibcKind, Policy, PolicyChoice
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.plan import PlannedBuild, ProjectPlan
from pytest_manylinux.run.siblings import Siblings, consumer_building, consumer_on, in_order
from pytest_manylinux.run.subjects import (
    BuildJob,
    Origin,
    ProjectSubject,
    Read,
    WheelSubject,
    tags_of_name,
)

TAGS = "cp311-cp311-manylinux_2_17_x86_64"
SETTINGS = merge(())
GLIBC, NEWER, MUSL = Policy((2, 17)), Policy((2, 34)), Policy((1, 2), LibcKind.MUSL)


def given(name: str, version: str = "1.0", *, tags: str = TAGS, folder: str = "in") -> WheelSubject:
    path = Path(folder, f"{name}-{version}-{tags}.whl")
    return WheelSubject(path=path, settings=SETTINGS, group=path.name, tags=tags_of_name(path))


def project(
    name: str,
    *,
    version: str = "",
    builds: tuple[str, ...] = ("3.11",),
    policies: tuple[Policy, ...] = (GLIBC,),
    **fields: Any,  # noqa: ANN401 - of a Project
) -> tuple[ProjectSubject, ProjectPlan]:
    subject = ProjectSubject(
        project=Project(path=Path("packages", name), is_sdist=False, name=name, version=version),
        settings=SETTINGS,
        group=f"packages/{name}",
    )
    subject = replace(subject, project=replace(subject.project, **fields))
    planned = tuple(
        PlannedBuild(python=parse_python(one), choice=PolicyChoice(policy), arch="x86_64", root=None)
        for policy in policies
        for one in builds
    )
    return subject, ProjectPlan(builds=tuple((one, ()) for one in planned))


class Made:
    """What reading gives: `requires` of each wheel by project, versions of what is built."""

    def __init__(
        self,
        requires: Mapping[str, tuple[str, ...]] | None = None,
        built: Mapping[str, str] | None = None,
        dist: Path = Path("nowhere"),
    ) -> None:
        self.requires = requires or {}
        self.built = built or {}
        self.read: list[str] = []
        self.siblings = Siblings(dist, self.facts)

    async def facts(self, origin: Origin) -> Read:
        if isinstance(origin, BuildJob):
            name = origin.subject.project.name
            if name not in self.built:
                raise BuildError(f"{name} does not build", why="no compiler")
            python = origin.build.python.id
            filename = (
                f"{name}-{self.built[name]}-{python}-{python}-{origin.build.policy.name}_x86_64.whl"
            )
        else:
            filename = origin.path.name
        wheel = make_wheel(filename)
        self.read.append(filename)
        facts = make_facts(filename=filename, requires_dist=self.requires.get(wheel.name, ()))
        return Read(wheel=wheel, facts=facts)

    def met(
        self,
        *lines: str,
        own: tuple[str, ...] = (),
        python: str = "3.11",
        **fields: Any,  # noqa: ANN401 - of a distro
    ) -> list[str]:
        target = make_target(python=python, **fields)
        consumer = consumer_on(target, given("plugin"), make_wheel(f"plugin-1.0-{TAGS}.whl"))
        found = asyncio.run(self.siblings.meet(lines, consumer, own))
        return [one.arguments(one.wheel.filename)[-1] for one in found]


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("core", "2.0"),
        ("core<2", "1.5"),
        ("core>=1.0,!=1.5,<2", "1.0"),
        ("Core", "2.0"),
        ("core; python_version >= '3.9'", "2.0"),
        ("core>=3", None),
        ("core; python_version < '3.9'", None),
        ("core; extra == 'more'", None),
        ("core @ https://example.org/core.zip", None),
        ("plugin", None),
        ("other", None),
        ("not a requirement", None),
    ],
)
def test_of_several_wheels_the_newest_that_fits_is_taken(line: str, version: str | None) -> None:
    made = Made()
    for one in ("1.0", "2.0", "1.5"):
        made.siblings.add_wheel(given("core", one))
    assert made.met(line) == ([f"core-{version}-{TAGS}.whl"] if version else [])


def test_a_wheel_for_another_python_or_platform_is_not_taken() -> None:
    made = Made()
    for tags in ("cp310-cp310-manylinux_2_17_x86_64", "cp311-cp311-win_amd64"):
        made.siblings.add_wheel(given("core", tags=tags))
    assert made.met("core") == []
    made.siblings.add_wheel(given("core", "0.9", tags="py3-none-any"))
    assert made.met("core") == ["core-0.9-py3-none-any.whl"]


def test_what_a_sibling_requires_is_met_too_and_extras_count() -> None:
    requires = {"core": ("base", "speed; extra == 'fast'"), "speed": ("core",)}
    made = Made(requires)
    for name in ("core", "base", "speed", "unasked"):
        made.siblings.add_wheel(given(name))
    assert made.met("core") == [f"core-1.0-{TAGS}.whl", f"base-1.0-{TAGS}.whl"]
    fast = [f"core-1.0-{TAGS}.whl[fast]", f"base-1.0-{TAGS}.whl", f"speed-1.0-{TAGS}.whl"]
    assert made.met("core[fast]") == fast
    assert made.met("plugin[all]", own=("core[fast]; extra == 'all'",)) == fast


def test_a_project_of_the_run_comes_before_wheels_and_is_built_for_the_target_s_python() -> None:
    made = Made(built={"core": "1.0"})
    made.siblings.add_wheel(given("core", "9.0"))
    made.siblings.add_project(*project("core", builds=("3.9", "3.11", "3.12")))
    assert made.met("core") == ["core-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"]
    assert made.met("core>=2") == [f"core-9.0-{TAGS}.whl"]


@pytest.mark.parametrize("policies", [(GLIBC, NEWER, MUSL), (MUSL, NEWER, GLIBC)])
@pytest.mark.parametrize(
    ("libc", "wanted"),
    [(Libc(LibcKind.GLIBC, (2, 31)), GLIBC), (Libc(LibcKind.MUSL, (1, 2, 5)), MUSL)],
    ids=["glibc", "musl"],
)
def test_of_a_project_s_builds_the_one_for_the_consumer_s_c_library_is_taken(
    policies: tuple[Policy, ...], libc: Libc, wanted: Policy
) -> None:
    made = Made(built={"core": "1.0"})
    made.siblings.add_project(*project("core", builds=("3.9", "3.11"), policies=policies))
    assert made.met("core", libc=libc) == [f"core-1.0-cp311-cp311-{wanted.name}_x86_64.whl"]


def test_what_a_build_for_musl_requires_is_for_the_root_that_it_runs_in() -> None:
    subject, plan = project("plugin", policies=(MUSL,))
    build = replace(plan.builds[0][0], root=make_target())
    platforms = {tag.platform for tag in consumer_building(BuildJob(subject=subject, build=build)).tags}
    assert "manylinux_2_17_x86_64" in platforms
    assert not any(platform.startswith("musllinux") for platform in platforms)
    alone = BuildJob(subject=subject, build=plan.builds[0][0])
    assert "musllinux_1_2_x86_64" in {tag.platform for tag in consumer_building(alone).tags}


def test_a_project_whose_version_is_known_not_to_fit_is_not_built() -> None:
    made = Made()
    made.siblings.add_project(*project("core", version="1.0"))
    assert made.met("core>=2") == []


def test_a_sibling_that_does_not_build_is_named() -> None:
    made = Made()
    made.siblings.add_project(*project("core"))
    with pytest.raises(DependencyError) as error:
        made.met("core")
    assert (
        error.value.what
        == f"core, which plugin-1.0-{TAGS}.whl requires, is part of this run and failed"
    )
    assert error.value.why == "core does not build\nno compiler"


def test_wheels_lie_together_in_dist_and_nowhere_else(tmp_path: Path) -> None:
    for folder in ("dist", "downloads", "root/dist"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{Path(folder).parts[0]}-1.0-{TAGS}.whl").touch()
    made = Made(dist=tmp_path / "root" / "dist")
    for folder in ("dist", "downloads"):
        made.siblings.add_wheel(given("plugin", folder=str(tmp_path / folder)))
    assert len(made.met("dist")) == 1
    assert len(made.met("root")) == 1
    assert made.met("downloads") == []


def test_what_the_run_was_given_comes_before_what_lies_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / f"core-9.0-{TAGS}.whl").touch()
    made = Made()
    made.siblings.add_wheel(given("plugin", folder=str(folder)))
    made.siblings.add_wheel(given("core", folder="elsewhere"))
    assert made.met("core") == [f"core-1.0-{TAGS}.whl"]


def test_projects_that_require_each_other_to_build_are_an_error_and_not_a_hang() -> None:
    made = Made()
    rows = [project(name, build_requires=(other,)) for name, other in (("one", "two"), ("two", "one"))]
    for row in rows:
        made.siblings.add_project(*row)

    async def build(origin: Origin) -> Read:
        assert isinstance(origin, BuildJob)
        lines = origin.subject.project.build_requires
        await made.siblings.meet(lines, consumer_building(origin))
        raise AssertionError

    made.siblings = Siblings(Path("nowhere"), build)
    for row in rows:
        made.siblings.add_project(*row)
    job = BuildJob(subject=rows[0][0], build=rows[0][1].builds[0][0])
    with pytest.raises(DependencyError, match="which requires it in turn"):
        asyncio.run(build(job))


def test_projects_that_require_each_other_when_installed_are_tried_together() -> None:
    made = Made({"one": ("two",), "two": ("one",)}, built={"one": "1.0", "two": "1.0"})
    rows = [project(name, requires=(other,)) for name, other in (("one", "two"), ("two", "one"))]
    for row in rows:
        made.siblings.add_project(*row)
    for (subject, plan), other in zip(rows, ("two", "one"), strict=True):
        job = BuildJob(subject=subject, build=plan.builds[0][0])
        wheel = make_wheel(f"{subject.project.name}-1.0-cp311-cp311-manylinux1_x86_64.whl")
        consumer = consumer_on(make_target(python="3.11"), job, wheel)
        (found,) = asyncio.run(made.siblings.meet((other,), consumer))
        assert found.wheel.name == other


def order(**requires: tuple[str, ...]) -> list[str]:
    groups = {
        Path(name): project(name, requires=lines, build_requires=())[0]
        for name, lines in requires.items()
    }
    return [path.name for path in in_order(groups)]


def test_projects_come_after_those_that_they_require() -> None:
    assert order(app=("lib>=1", "numpy"), lib=("base; extra == 'x'",), base=()) == [
        "base",
        "lib",
        "app",
    ]
    assert order(c=(), a=(), b=()) == ["c", "a", "b"]
    assert order(one=("two",), two=("one",), three=()) == ["two", "one", "three"]
    assert [path.name for path in in_order({Path("b.whl"): None, Path("a.whl"): None})] == [
        "b.whl",
        "a.whl",
    ]
