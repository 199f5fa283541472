"""From paths to subjects and plans, with the settings that hold for each.

Commands that plan or build as a run would begin one in the current folder here (`context_here`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from packaging.tags import Tag

from pytest_manylinux.building.project import read_project
from pytest_manylinux.config.merge import Layer, environment_layer, file_layer, flag_layer, merge
from pytest_manylinux.config.settings import Settings, SourceKind
from pytest_manylinux.errors import BuildError, ManylinuxError, ProjectError, UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.architecture import ARCHITECTURES, emulation_of, named_architectures
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.indexes import begin_host_index
from pytest_manylinux.inspect.zip_archive import Archive
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.run import BuildRecord, ShardRecord
from pytest_manylinux.model.selection import build_identifier
from pytest_manylinux.model.wheel_tags import python_of_tag
from pytest_manylinux.model.wheel_variants import split_variant
from pytest_manylinux.plan import PlannedBuild, ProjectPlan, accepts_python, plan_project, wheel_targets
from pytest_manylinux.run.flow import Flow
from pytest_manylinux.run.monorepo import projects_of_root
from pytest_manylinux.run.record import Recorder
from pytest_manylinux.run.session import Run, selection_of
from pytest_manylinux.run.siblings import in_order
from pytest_manylinux.run.subjects import BuildJob, ProjectSubject, WheelSubject, key_of, tags_of_name
from pytest_manylinux.untargeted import Surroundings, Untargeted, why_untargeted, why_variant_untargeted
from pytest_manylinux.upload_rules.release import SdistBuild


class Context:
    """What the collectors and items of one session share.

    `alone` are the projects that a run without paths is of: of them the own items are wanted, and
    nothing else below them; empty where paths were given. `with_tests` tells that pytest's ordinary
    tests are to be collected too.
    `left_out` has a line for each project that has no trial on some of the chosen distros.
    With `goes_on` what is planned will be done, and what takes time is begun.
    """

    def __init__(
        self, *, run: Run, layers: tuple[Layer, ...], alone: frozenset[Path], with_tests: bool
    ) -> None:
        self.run = run
        self.flow = Flow(run)
        self.alone = alone
        self.with_tests = with_tests
        self.goes_on = False
        self.recorder = Recorder()
        self.shard: ShardRecord | None = None
        self.collect_errors: list[ManylinuxError] = []
        self.left_out: list[str] = []
        self.projects: dict[Path, ProjectSubject] = {}
        self._layers = layers

    def leads_on(self, path: Path) -> bool:
        """Whether a folder is above one of the projects that the run is of."""
        return any(path in one.parents for one in self.alone)

    def in_order(self, paths: Iterable[Path]) -> list[Path]:
        """Projects and wheels of the run, each project after those that it requires."""
        return in_order({path: self.projects.get(path) for path in paths})

    def settings_for(self, path: Path) -> Settings:
        """The settings of a project: its own pyproject.toml under flags and environment."""
        if not path.is_dir() or path == self.run.own:
            return self.run.settings
        shown = f"{self.shown(path)}/pyproject.toml"
        own = file_layer(path / "pyproject.toml", shown=shown, kind=SourceKind.PROJECT)
        if not own.values:
            return self.run.settings
        settings = merge((*self._layers, own))
        self.run.check(settings)
        return settings

    def plan_project(self, path: Path) -> tuple[ProjectSubject, ProjectPlan]:
        """Plan a project folder or sdist; raises ProjectError or UsageError."""
        subject, plan = self._planned(path)
        if plan.builds:
            self._note_left_out(subject)
        self.projects[path] = subject
        return subject, plan

    def take_members(self) -> None:
        """Have the projects of the setting `packages` meet requirements, whichever were asked for."""
        if not self.run.settings.packages:
            return
        for path in sorted(projects_of_root(self.run.own, self.run.settings) - self.projects.keys()):
            with contextlib.suppress(ManylinuxError):  # it is not one of those that are proven
                self._planned(path)

    def _planned(self, path: Path) -> tuple[ProjectSubject, ProjectPlan]:
        settings = self.settings_for(path)
        project = read_project(path)
        plan = ProjectPlan(builds=())
        selection = selection_of(settings)
        for arch in named_architectures(settings.archs):
            for policy in self.run.policies(settings, arch):
                plan += plan_project(
                    policy=policy,
                    requires_python=project.requires_python,
                    targets=self.run.targets(settings, arch),
                    builders=self.run.build_distros(settings),
                    pythons=[
                        version
                        for version in settings.python.versions
                        if not selection.left_out_by(
                            build_identifier(version, arch, policy.kind.policies)
                        )
                    ],
                    arch=arch,
                    in_image=self.run.builders.in_image(settings),
                    chosen=self.run.packaged(settings, arch),
                    add=partial(self.run.add_python, settings),
                )
        if plan.builds and self.goes_on:
            begin_host_index()
        subject = ProjectSubject(project=project, settings=settings, group=self.shown(path))
        self.flow.siblings.add_project(subject, plan)
        return subject, plan

    def _note_left_out(self, subject: ProjectSubject) -> None:
        """Distros none of whose Pythons the project wants: chosen, but without a trial."""
        wanted = subject.project.requires_python
        targets = self.run.targets(subject.settings)
        some = {one.distro.id for one in targets if accepts_python(wanted, one.interpreter.version)}
        if names := dict.fromkeys(one.distro.id for one in targets if one.distro.id not in some):
            self.left_out.append(
                f"{subject.group}: no trial on {', '.join(names)}, "
                f"since requires-python {wanted!r} admits no Python there"
            )

    def plan_wheel(self, path: Path) -> tuple[WheelSubject, tuple[Target, ...]]:
        """Plan a wheel from its name."""
        settings = self.run.settings
        tags = tags_of_name(path)
        subject = WheelSubject(path=path, settings=settings, group=self.shown(path), tags=tags)
        if split_variant(path.name)[1] and "uv" not in settings.installer:
            return subject, ()
        self.flow.siblings.add_wheel(subject)
        archs = self.run.architectures(settings, tags)
        targets = tuple(one for arch in archs for one in self.run.targets(settings, arch))
        found = wheel_targets(tags, "", targets)
        others = self.run.other_targets(settings, tags, archs)
        return subject, tuple({one.id: one for one in (*found, *others)}.values())

    def why_untargeted(self, subject: WheelSubject) -> Untargeted:
        """Why a wheel has no target in this run."""
        settings = subject.settings
        label = split_variant(subject.path.name)[1]
        if label and "uv" not in settings.installer:
            return why_variant_untargeted(label)
        distros = self.run.distros(settings)
        archs = {arch for distro in distros for arch in distro.architectures}
        found = {
            arch: emulation_of(arch) for arch in sorted(archs & set(_architectures_of(subject.tags)))
        }
        return why_untargeted(
            subject.tags,
            Surroundings(
                targets=[
                    target
                    for arch in self.run.architectures(settings, subject.tags)
                    for target in self.run.packaged(settings, arch)
                ],
                chosen=distros,
                distros=self.run.catalogue.distros,
                selection=selection_of(settings),
                missing={
                    arch: f"which does not run here: {one.missing} ({one.remedy})"
                    for arch, one in found.items()
                    if not one.works
                },
                otherwise=self.run.why_no_python(settings, subject.tags, found),
            ),
        )

    def shown(self, path: Path) -> str:
        """A path as in node ids, relative to the root folder; the root itself by its name."""
        return _shown(path, self.run.root)

    def failed_build(self, job: BuildJob, error: ManylinuxError) -> BuildRecord:
        """The record of a build that gave no wheel."""
        chosen = self.run.builders.chosen.get(key_of(job))
        return BuildRecord(
            project=job.subject.group,
            python=job.build.python.id,
            policy=(chosen.policy if chosen else "") or str(job.build.policy),
            policy_why=chosen.policy_why if chosen else "",
            builder=chosen.builder.name if chosen else job.subject.settings.builder,
            builder_why=chosen.why if chosen else "",
            image=chosen.image.digest if chosen and chosen.image else "",
            image_name=chosen.image.name if chosen and chosen.image else "",
            error=str(error),
        )


@lru_cache(maxsize=256)  # each item of a wheel asks
def _shown(path: Path, root: Path) -> str:
    if path == root:
        return printable(path.name)
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path)


def _architectures_of(tags: frozenset[Tag]) -> tuple[str, ...]:
    platforms = {tag.platform for tag in tags}
    return tuple(arch for arch in ARCHITECTURES if any(p.endswith(f"_{arch}") for p in platforms))


def read_layers(
    *, root: Path, options: Mapping[str, str | None], environment: Mapping[str, str]
) -> tuple[Layer, ...]:
    """The layers that hold for the whole run; raises UsageError."""
    return (
        file_layer(root / "pyproject.toml", shown="pyproject.toml"),
        environment_layer(environment),
        flag_layer(options),
    )


def context_here(
    options: Mapping[str, str | None],
    *,
    show: Callable[[str], None],
    rebuild: bool = False,
    only_planned: bool = False,
) -> Context:
    """A run in the current folder, as `pytest --manylinux` would begin it; its `run` is to be closed.

    `options` are values of flags by their names in pytest; for the others see `Run`. Raises UsageError.
    """
    here = Path.cwd()
    layers = read_layers(root=here, options=options, environment=os.environ)
    settings = merge(layers)
    run = Run(
        settings=settings,
        root=here,
        own=here,
        here=here,
        show=show,
        shared=None,
        fresh=False,
        rebuild=rebuild,
        only_planned=only_planned,
    )
    run.check(settings)
    return Context(run=run, layers=layers, alone=frozenset(), with_tests=False)


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
