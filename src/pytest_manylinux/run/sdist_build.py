"""A wheel from a release's source distribution, as a run in the current folder would build it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from packaging.tags import Tag

from pytest_manylinux.errors import BuildError, ProjectError, UsageError
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.inspect.zip_archive import Archive
from pytest_manylinux.model.wheel_tags import python_of_tag
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.collection import context_here
from pytest_manylinux.run.subjects import BuildJob, tags_of_name
from pytest_manylinux.upload_rules.release import SdistBuild


def build_sdist(sdist: Path, wheels: Sequence[Path], *, say: Callable[[str], None]) -> SdistBuild:
    """Build the sdist for the first Python that a run would build for and a given wheel is for.

    Raises UsageError where there is no such Python, and what builds raise that are not at fault
    themselves.
    """
    with temporary_folder() as nowhere:
        context = context_here({"manylinux_wheelhouse": str(nowhere)}, show=say)
        try:
            try:
                subject, plan = context.plan_project(sdist.resolve())
            except ProjectError as error:
                return SdistBuild(sdist=sdist.name, failure=error.why or error.what)
            build, wheel = _pair([one for one, _ in plan.builds], wheels)
            job = BuildJob(subject=subject, build=build)
            with Archive(wheel) as archive:
                given = tuple(archive.files)
            try:
                read = context.run.wait(context.flow.start(lambda: context.flow.facts(job)))
            except BuildError as error:
                return SdistBuild(sdist=sdist.name, wheel=wheel.name, failure=error.what)
            return SdistBuild(sdist=sdist.name, wheel=wheel.name, built=read.facts.files, given=given)
        finally:
            context.run.close()


def _pair(builds: Sequence[PlannedBuild], wheels: Iterable[Path]) -> tuple[PlannedBuild, Path]:
    tagged = [(wheel, tags_of_name(wheel)) for wheel in wheels]
    for build in builds:
        for wheel, tags in tagged:
            if any(_is_for(tag, build) for tag in tags):
                return build, wheel
    raise UsageError(
        "no given wheel is for a Python that a run would build the sdist for",
        why=f"a run would build for {', '.join(build.id for build in builds) or 'none'}",
        remedy="choose distros or python in [tool.pytest-manylinux] that a wheel is for",
    )


def _is_for(tag: Tag, build: PlannedBuild) -> bool:
    if tag.platform != "any" and not tag.platform.endswith(f"_{build.arch}"):
        return False
    own = python_of_tag(tag)
    if tag.interpreter.startswith("py") or own == build.python:
        return True
    older = own is not None and own.minor <= build.python.minor
    return tag.abi == "abi3" and older and not build.python.free_threaded
