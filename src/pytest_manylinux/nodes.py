"""pytest's view of a run: projects and wheels collect into build, audit and trial items."""

from __future__ import annotations

import os
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_manylinux.errors import ExitCode, ManylinuxError, UsageError
from pytest_manylinux.escape import plain, plain_line, printable
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.run import WheelRecord, record_wheel
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.plan import PlannedBuild, ProjectPlan, takes
from pytest_manylinux.report.junit import properties
from pytest_manylinux.report.matrix import is_unbuilt
from pytest_manylinux.run.item_attributes import MadeOnRead, id_in_parts
from pytest_manylinux.run.monorepo import is_project
from pytest_manylinux.run.outcomes import VerdictError
from pytest_manylinux.run.record import ItemRecord
from pytest_manylinux.run.subjects import (
    BuildJob,
    Built,
    Judged,
    Origin,
    ProjectSubject,
    TrialJob,
    key_of,
)
from pytest_manylinux.run.tracebacks import foreseen, internal_error

if TYPE_CHECKING:
    from pytest_manylinux.run.collection import Context

CONTEXT: pytest.StashKey[Context] = pytest.StashKey()
_MARK = pytest.mark.manylinux.mark
_T = TypeVar("_T")
_Node = TypeVar("_Node", bound=pytest.File | pytest.Directory)


class UntargetedWarning(pytest.PytestWarning):
    """A wheel that no chosen target takes."""


class PortabilityItem(pytest.Item):
    """Anything that a run with `--manylinux` adds: one build, audit or trial."""

    extra_keyword_matches = MadeOnRead(lambda item: item.words())
    own_markers = MadeOnRead(lambda _: [_MARK])
    user_properties = MadeOnRead[list[tuple[str, object]]](lambda _: [])
    _report_sections = MadeOnRead[list[tuple[str, str, str]]](lambda _: [])
    entry: ItemRecord | None = None
    own_duration: float | None = None
    begun: Future[Any] | None = None

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=sys.intern(name), **kwargs)
        if hasattr(self, "_id"):  # from pytest 9.2 on in parts, of which --lf compares each
            self._id = id_in_parts(self._id, self.name)
        if _MARK.name not in self.keywords:  # else its collector has it
            self.keywords[_MARK.name] = _MARK

    def words(self) -> set[str]:
        """What `-k` finds the item by, besides its name."""
        return set()

    @property
    def context(self) -> Context:
        """What all items of the session share."""
        return self.config.stash[CONTEXT]

    @abstractmethod
    def work(self) -> Future[Any] | None:
        """Begin this item's work; None where there is none."""

    def start(self) -> Future[Any] | None:
        """Begin this item's work ahead of its turn."""
        self.begun = self.work()
        return self.begun

    def outcome(self) -> Any:
        """What the work gives, begun now if it was not before; raises ManylinuxErrors only."""
        future, self.begun = self.begun or self.work(), None
        return future and self.awaited(future)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the item is: its path as it may be shown; there is no line."""
        return Path(_safe(os.fspath(self.path))), None, self.name

    def conclude(self, entry: ItemRecord) -> None:
        """Keep what the item found, for reports, and pass or fail accordingly."""
        self.entry = entry
        self.user_properties.extend(properties(entry.verdict, entry.wheel, entry.build))
        verdict = entry.verdict
        if verdict is None or verdict.outcome is Outcome.PORTABLE:
            return
        if verdict.outcome is Outcome.EXPECTED and verdict.expectation is not None:
            raise pytest.xfail.Exception(plain_line(verdict.expectation.reason))
        if entry.skipped:
            raise pytest.skip.Exception(plain_line(verdict.reason))
        raise VerdictError(verdict)

    def judged_by(self, judged: Judged, origin: Origin) -> None:
        """Keep a verdict; where the build that is to give the wheel has failed, that is told once."""
        entry = ItemRecord(verdict=judged.verdict, wheel=judged.wheel)
        if not isinstance(origin, BuildJob) or not is_unbuilt(judged.verdict):
            self.conclude(entry)
        elif build := self._failed_build(origin):
            self.entry = replace(entry, skipped=True)
            self.user_properties.extend(properties(entry.verdict, entry.wheel, entry.build))
            raise pytest.skip.Exception(f"there is no wheel: {build} failed")
        else:
            self.conclude(entry)

    def _failed_build(self, job: BuildJob) -> str:
        """The name of the failed build's item, if this session has it; else nothing."""
        items = (item for item in self.session.items if isinstance(item, BuildItem))
        name = next((item.name for item in items if key_of(item.job) == key_of(job)), "")
        try:
            self.awaited(self.context.flow.start(lambda: self.context.flow.build(job)))
        except ManylinuxError:
            return name
        return ""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what failed in words; only our own bugs show a traceback."""
        error = excinfo.value
        if isinstance(error, VerdictError):
            from pytest_manylinux.report.terminal import verdict_text  # noqa: PLC0415 - loads slowly

            wheel = self.entry.wheel if self.entry is not None else None
            build = wheel.build if wheel is not None else None
            return verdict_text(error.verdict, build=build, full=self.config.get_verbosity() > 1)
        if isinstance(error, ManylinuxError):
            return str(error)
        if isinstance(error, pytest.xfail.Exception):
            # pytest would parse our own source for a traceback, while other threads work: slow, and
            # CPython 3.11 now and then ends it with "AST constructor recursion depth mismatch".
            return plain(str(error.msg))
        if isinstance(error, Exception):
            return plain(str(internal_error(error, self.nodeid)))
        return plain(str(super().repr_failure(excinfo, style)))

    def awaited(self, future: Future[_T]) -> _T:
        """What the item's work gives; raises ManylinuxErrors only."""
        with foreseen(self.nodeid):
            return self.context.run.wait(future)


class BuildItem(PortabilityItem):
    """`build[cp311-manylinux1_x86_64]`."""

    def __init__(self, *, job: BuildJob, **kwargs: Any) -> None:
        super().__init__(name=f"build[{job.build.id}]", **kwargs)
        self.job = job

    def words(self) -> set[str]:  # noqa: D102 - as above
        return _build_words(self.job.build)

    def work(self) -> Future[Built]:
        """Begin the build."""
        return self.context.flow.start(lambda: self.context.flow.build(self.job))

    def runtest(self) -> None:
        """Wait for the build; its errors are the item's failure."""
        try:
            built: Built = self.outcome()
        except ManylinuxError as error:
            self.entry = ItemRecord(
                build=self.context.failed_build(self.job, error),
                unproven=error.exit_code is ExitCode.NOT_PROVEN,
            )
            raise
        self.own_duration = built.record.duration
        self.conclude(ItemRecord(build=built.record))


class AuditItem(PortabilityItem):
    """`audit` of a given wheel, or `audit[cp311-manylinux1_x86_64]` of one that this run builds."""

    def __init__(self, *, origin: Origin, **kwargs: Any) -> None:
        build = origin.build if isinstance(origin, BuildJob) else None
        name = f"audit[{build.id}]" if build else "audit"
        super().__init__(name=name, **kwargs)
        self.origin = origin

    def words(self) -> set[str]:  # noqa: D102 - as above
        return _build_words(self.origin.build) if isinstance(self.origin, BuildJob) else set()

    def work(self) -> Future[Judged]:
        """Begin the audit."""
        return self.context.flow.start(lambda: self.context.flow.audit(self.origin))

    def runtest(self) -> None:
        """Wait for the audit."""
        judged: Judged = self.outcome()
        self.judged_by(judged, self.origin)


class TrialItem(PortabilityItem):
    """`trial[debian-12-cp311]`, or `trial[cp311-manylinux1_x86_64-debian-12]` of a built wheel."""

    def __init__(self, *, job: TrialJob, **kwargs: Any) -> None:
        if isinstance(job.origin, BuildJob):
            name = f"trial[{job.origin.build.id}-{job.target.distro.id}]"
        else:
            name = f"trial[{job.target.place}{self._other_arch(job)}]"
        super().__init__(name=name, **kwargs)
        self.job = job

    def words(self) -> set[str]:
        """Distro, Python, and what tells the wheel's builds or tags."""
        distro, origin = self.job.target.distro, self.job.origin
        words = {distro.id, distro.family, self.job.target.interpreter.version.id}
        if isinstance(origin, BuildJob):
            return words | _build_words(origin.build)
        return words | {str(tag) for tag in origin.tags}

    @staticmethod
    def _other_arch(job: TrialJob) -> str:
        """The architecture, where it is not this machine's."""
        return "" if job.target.arch == host_arch() else f"-{job.target.arch}"

    def work(self) -> Future[Judged]:
        """Begin the trial."""
        return self.context.flow.start(lambda: self.context.flow.trial(self.job))

    def runtest(self) -> None:
        """Wait for the trial; the time it took by itself is what reports show."""
        judged: Judged = self.outcome()
        if judged.verdict.observation is not None:
            self.own_duration = judged.verdict.observation.duration
        if judged.verdict.cause is Cause.NO_TARGET and self._others_take(judged.wheel):
            raise pytest.skip.Exception(plain_line(judged.verdict.reason))
        self.judged_by(judged, self.job.origin)

    def _others_take(self, wheel: WheelRecord | None) -> bool:
        """Whether the wheel, whose policy was found out by its build, is for another target of it."""
        others = (one.job for one in self.session.items if isinstance(one, TrialItem))
        return wheel is not None and any(
            key_of(job.origin) == key_of(self.job.origin) and takes(job.target, wheel.platforms)
            for job in others
        )


class UnplannedItem(PortabilityItem):
    """A wheel or project that nothing could be planned for: visible, and never a pass."""

    def __init__(self, *, name: str, reason: str, way: str = "fail", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.reason = reason
        self.way = way

    def work(self) -> None:
        """There is nothing to do."""

    def _wheel(self) -> WheelRecord | None:
        """The wheel as a proof names it; None for a project, and for a file that is no wheel."""
        if self.path.suffix != ".whl":
            return None
        try:
            return record_wheel(open_wheel(self.path), self.context.shown(self.path))
        except ManylinuxError:  # its audit says so
            return None

    def runtest(self) -> None:
        """End as not proven; skipped, with a warning or without, where settings say so."""
        wheel = self._wheel()
        if self.way == "warn":
            said = UntargetedWarning(f"{printable(self.path.name)}: {self.reason}")
            warnings.warn_explicit(said, None, filename=_safe(os.fspath(self.path)), lineno=0)
        project = self.context.shown(self.path)
        name = printable(self.path.name) if self.path.suffix == ".whl" else project
        self.conclude(
            ItemRecord(
                skipped=self.way != "fail",
                wheel=wheel,
                verdict=Verdict(
                    outcome=Outcome.NOT_PROVEN,
                    subject=self.name,
                    wheel=name,
                    wheel_sha256=wheel.sha256 if wheel else "",
                    cause=Cause.NO_TARGET,
                    reason=self.reason,
                ),
            )
        )


def _build_words(build: PlannedBuild) -> set[str]:
    return {build.id, build.python.id, build.choice.name}


def _project_items(
    parent: pytest.Collector, subject: ProjectSubject, plan: ProjectPlan
) -> Iterator[PortabilityItem]:
    """Build, audit and trials of each Python in turn, so that the first verdict comes early."""
    builds = tuple(build for build, _ in plan.builds)
    for position, (build, targets) in enumerate(plan.builds):
        job = BuildJob(subject=subject, build=build, earlier=_alike(build, builds[:position]))
        yield BuildItem.from_parent(parent, job=job)
        yield AuditItem.from_parent(parent, origin=job)
        for target in targets:
            yield TrialItem.from_parent(parent, job=TrialJob(origin=job, target=target))
        if not targets:
            libc = f"the {build.policy.kind.value} of {build.policy}"
            reason = f"none of the chosen distros has {build.python} and {libc}"
            yield UnplannedItem.from_parent(parent, name=f"trial[{build.id}-no-target]", reason=reason)
    for python in plan.unbuildable:
        yield UnplannedItem.from_parent(
            parent,
            name=f"build[{python}-no-builder]",
            reason=f"no distro of the catalogue can be made here with the headers of {python}",
        )
    for policy in plan.without_target:
        yield UnplannedItem.from_parent(
            parent,
            name=f"build[{policy}-no-target]",
            reason=f"none of the chosen distros that the settings leave has {policy.kind.value}, "
            f"for which {policy} is",
        )
    if plan == ProjectPlan(builds=()):
        reason = (
            "none of the chosen distros has a Python that the project accepts"
            f" (requires-python {subject.project.requires_python!r})"
            " and that the settings `python`, `build` and `skip` leave"
        )
        yield UnplannedItem.from_parent(parent, name="build[no-target]", reason=reason)


def _alike(build: PlannedBuild, earlier: tuple[PlannedBuild, ...]) -> tuple[PlannedBuild, ...]:
    """The earlier builds for the same policy and architecture; without any, all of them.

    A wheel of pure Python serves every policy.
    """
    same = tuple(one for one in earlier if (one.policy, one.arch) == (build.policy, build.arch))
    return same or earlier


@contextmanager
def told(context: Context) -> Iterator[None]:
    """Turn an error into a collection error that shows its words alone; ours a line and a pointer."""
    try:
        with foreseen("collection"):
            yield
    except ManylinuxError as error:
        context.collect_errors.append(error)
        raise pytest.Collector.CollectError(str(error)) from error


class Folder(pytest.Directory):
    """A folder: the projects, sdists and wheels below it, and nothing else of it.

    Where tests are not wanted it stands for every folder, those of Python packages too, since
    pytest's own nodes would import what they find.
    """

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Look at the entries, by name."""
        with told(self.config.stash[CONTEXT]):
            yield from self._below()

    def _below(self) -> Iterator[pytest.Collector]:
        for entry in self._entries():
            folder = entry.is_dir()
            wanted = self.session.isinitpath(entry, with_parents=folder)
            if not wanted and self.ihook.pytest_ignore_collect(
                collection_path=entry, config=self.config
            ):
                continue
            yield from self._nodes(entry, folder=folder)

    def _entries(self) -> list[Path]:
        """Sorted by name; above the paths given, only what leads to them."""
        try:
            entries = sorted(self.path.iterdir(), key=lambda path: path.name)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read", why=error.strerror or str(error)) from error
        context = self.config.stash[CONTEXT]
        if context.alone and not context.with_tests:
            return [one for one in entries if one in context.alone or context.leads_on(one)]
        if self._is_at_or_below_a_path():
            return entries
        return [one for one in entries if self.session.isinitpath(one, with_parents=True)]

    def _is_at_or_below_a_path(self) -> bool:
        return any(self.session.isinitpath(folder) for folder in (self.path, *self.path.parents))

    def _nodes(self, entry: Path, *, folder: bool) -> Iterable[pytest.Collector]:
        """As `pytest.Dir` does, which is final, but without asking for what others make of files."""
        context = self.config.stash[CONTEXT]
        if not folder and not context.with_tests:
            wanted = not context.alone and entry.is_file()
            node = artifact_node(self, entry) if wanted else None
            yield from [] if node is None else [node]
        elif folder:
            below = self.ihook.pytest_collect_directory(path=entry, parent=self)
            yield from [] if below is None else [below]
        elif entry.is_file():
            yield from self.ihook.pytest_collect_file(file_path=entry, parent=self)


class ProjectDir(Folder):
    """A folder with a Python project: its portability items, then what is below it."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Plan the project; nothing is built."""
        context = self.config.stash[CONTEXT]
        with told(context):
            yield from _project_items(self, *context.plan_project(self.path))
        if context.with_tests or not context.alone or context.leads_on(self.path):
            yield from super().collect()


def folder_node(parent: pytest.Collector, path: Path) -> pytest.Collector | None:
    """The collector of a folder; None leaves it to pytest, where its tests are wanted."""
    context = parent.config.stash[CONTEXT]
    if is_project(path) and (not context.alone or path in context.alone):
        return _node(ProjectDir, parent, path)
    return None if context.with_tests else _node(Folder, parent, path)


def artifact_node(parent: pytest.Collector, path: Path) -> pytest.Collector | None:
    """The collector of a wheel or an sdist; None for any other file."""
    if path.suffix == ".whl":
        return _node(WheelFile, parent, path)
    if is_sdist(path):
        return _node(SdistFile, parent, path)
    return None


def _node(kind: type[_Node], parent: pytest.Collector, path: Path) -> _Node:
    """A node with an id and a name that may be printed, whatever its file is called.

    pytest begins lines with the ids of items, which are made from their collector's, and pytest-xdist
    sends them as text. pytest has no public way to say one, and from 9.2 on it keeps them in parts.
    """
    make: Callable[..., Any] = kind.from_parent
    node: _Node = make(parent, path=path)
    if _safe(node.name) != node.name:  # its name is a keyword from the beginning
        node = make(parent, path=path, name=_safe(node.name))
    attribute = "_id" if hasattr(node, "_id") else "_nodeid"
    known = getattr(node, attribute)
    safe = _safe(known) if isinstance(known, str) else replace(known, path=_safe(known.path))
    setattr(node, attribute, safe)
    return node


def _safe(name: str) -> str:
    return plain_line(printable(name))


class SdistFile(pytest.File):
    """A source distribution."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Plan the project inside; nothing is built."""
        context = self.config.stash[CONTEXT]
        with told(context):
            yield from _project_items(self, *context.plan_project(self.path))


class WheelFile(pytest.File):
    """A wheel that is already there. All items below it are ours: it has their mark for `keywords`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keywords[_MARK.name] = _MARK

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Plan from the file's name alone."""
        with told(self.config.stash[CONTEXT]):
            yield from self._items()

    def _items(self) -> Iterator[PortabilityItem]:
        subject, targets = self.config.stash[CONTEXT].plan_wheel(self.path)
        yield AuditItem.from_parent(self, origin=subject)
        if not subject.tags:
            return  # the audit says what is wrong with the name
        for target in targets:
            yield TrialItem.from_parent(self, job=TrialJob(origin=subject, target=target))
        if not targets:
            found = self.config.stash[CONTEXT].why_untargeted(subject)
            way = subject.settings.untargeted if found.is_of_another_run else "fail"
            yield UnplannedItem.from_parent(self, name="trial[no-target]", reason=str(found), way=way)


def is_sdist(path: Path) -> bool:
    """Whether a file's name is that of a source distribution (PEP 625; older ones may be zip)."""
    return path.name.endswith((".tar.gz", ".zip")) and "-" in os.fspath(path.name)
