"""The tasks of a run up to the audit: builds, facts, audits. Each runs in a thread of the graph."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from packaging.tags import Tag

from pytest_manylinux.building.api import BuildOutcome, BuildRequest
from pytest_manylinux.cache.once_per_run import once
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.diagnose.ignoring import apply_ignores
from pytest_manylinux.diagnose.judge import (
    apply_expectations,
    judge_audit,
)
from pytest_manylinux.errors import (
    DependencyError,
    EngineError,
    ImageError,
    InternalError,
    ManylinuxError,
    StoreError,
    ToolchainError,
    TrialTimeoutError,
    UsageError,
)
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.run import BuildRecord, WheelRecord, record_wheel
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.model.wheel import Audit, Wheel, WheelFacts
from pytest_manylinux.model.wheel_tags import installable_tags
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.builder_choice import BuilderChoice
from pytest_manylinux.run.preparation_tasks import (
    add_compiler,
    add_image,
    add_tools,
)
from pytest_manylinux.run.session import Run, task_key
from pytest_manylinux.run.subjects import (
    BuildJob,
    Origin,
    WheelSubject,
    group_of,
    key_of,
    settings_of,
    tags_of_name,
)
from pytest_manylinux.run.tasks import Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that gave a wheel; `record` tells how, and if it was an earlier build's wheel.

    `facts` are what the build has read of the wheel; None where it was an earlier build's.
    """

    wheel: Path
    record: BuildRecord
    facts: WheelFacts | None = None


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


def add_build(run: Run, job: BuildJob) -> Future[Any]:
    """Add a build, after the project's first build: its wheel may serve this Python as well."""
    needs = _add_root(run, job)
    ready = bool(needs)
    if job.earlier:
        first = BuildJob(subject=job.subject, build=job.earlier[0])
        add_build(run, first)
        needs.append(task_key("build", *key_of(first)))
    return run.graph.add(
        task_key("build", *key_of(job)), partial(_build, run, job, ready=ready), needs=needs
    )


def _add_root(run: Run, job: BuildJob) -> list[tuple[Any, ...]]:
    """Add what a build in a Debian root wants, if it is certain to be in one; else it is made then."""
    settings, target = job.subject.settings, job.build.root
    if target is None or not run.builders.wants_root(settings):
        return []
    plain = add_image(run, target, ImagePurpose.TRIAL)
    image = add_image(run, target, ImagePurpose.BUILD, settings.build_packages)
    return [image, plain, add_compiler(run, job.build.arch), add_tools(run, target)]


def add_facts(run: Run, origin: Origin) -> Future[Any]:
    """Add the reading of a wheel, after its build if this run builds it."""
    key = task_key("facts", *key_of(origin))
    if isinstance(origin, WheelSubject):
        return run.graph.add(key, lambda _: _read(run, origin.path))
    add_build(run, origin)
    return run.graph.add(
        key,
        lambda done: _read_built(run, done[0].result()),
        needs=[task_key("build", *key_of(origin))],
    )


def add_audit(run: Run, origin: Origin) -> Future[Any]:
    """Add the audit of a wheel."""
    add_facts(run, origin)
    return run.graph.add(
        task_key("audit", *key_of(origin)),
        lambda done: _audit(origin, done[0].result()),
        needs=[task_key("facts", *key_of(origin))],
    )


def _build(run: Run, job: BuildJob, done: Needs, *, ready: bool) -> Built:
    """Build, or take an earlier wheel; `ready` tells that `done` begins with root and plain root."""
    if job.earlier and (reused := _reuse(job.build, job.earlier[0], done[-1])):
        return reused
    chosen = run.builders.choose(job.subject.settings, job.build)
    run.builders.chosen[key_of(job)] = chosen
    roots = (done[0].result(), done[1].result()) if ready else _images(run, job, chosen)
    request = _build_request(run, job, *roots)
    run.messages.say(f"{job.subject.group}: building {job.build.id} in {request.image.name}")
    build = partial(chosen.builder.build, request, run.workspace.engine(), say=run.messages.say)
    outcome: BuildOutcome = once(run.shared, ("build", *key_of(job)), build)
    record = replace(outcome.record, builder_why=chosen.why)
    built = Built(wheel=outcome.wheel, record=record, facts=outcome.facts)
    how = "built before" if built.record.remembered else f"{built.record.duration:.0f} s"
    run.messages.say(f"{job.subject.group}: {job.build.id} is {built.wheel.name} ({how})")
    return built


def _images(run: Run, job: BuildJob, chosen: BuilderChoice) -> tuple[Image, Image | None]:
    """The image to build in, and the plain one that it was grown from."""
    target = job.build.root
    if chosen.image is not None or target is None:
        return _there(chosen), None
    packages = job.subject.settings.build_packages
    plain = run.workspace.image(target)
    return run.workspace.image(target, ImagePurpose.BUILD, packages), plain


def _there(chosen: BuilderChoice) -> Image:
    """A build that has no root is planned for builder images only."""
    if chosen.image is None:
        raise ToolchainError(f"the builder {chosen.builder.name} has no root to build in")
    return chosen.image


def _build_request(run: Run, job: BuildJob, image: Image, plain: Image | None) -> BuildRequest:
    settings = job.subject.settings
    log = run.workspace.store.root / "logs" / f"{job.subject.project.path.name}-{job.build.id}.log"
    return BuildRequest(
        project=job.subject.project.path,
        known=job.subject.project,
        python=job.build.python,
        policy=job.build.policy,
        arch=job.build.arch,
        image=image,
        plain=plain,
        wheelhouse=run.wheelhouse,
        before_build=settings.before_build,
        build_packages=settings.build_packages,
        network=settings.build_network == "host",
        timeout=settings.build_timeout,
        cache=run.workspace.build_cache,
        log=log,
        fresh=run.fresh,
    )


def _reuse(build: PlannedBuild, first: PlannedBuild, done: Future[Any]) -> Built | None:
    """The project's first wheel, if its tags fit this Python under the policy too."""
    if done.exception() is not None:
        return None
    earlier: Built = done.result()
    if tags_fit(build, tags_of_name(earlier.wheel)):
        record = replace(earlier.record, python=build.python.id, reused=first.id, duration=0.0)
        return replace(earlier, record=record)
    return None


def tags_fit(build: PlannedBuild, tags: frozenset[Tag]) -> bool:
    """Whether a wheel with these tags serves the build's Python on the policy's own glibc."""
    own = installable_tags(build.python, build.policy.glibc, build.arch, build.python.abi)
    return not own.isdisjoint(tags)


def _read_built(run: Run, built: Built) -> Read:
    """What the build has read of its wheel, if this run has built it, else what is read now."""
    if built.facts is None:
        return _read(run, built.wheel, built.record)
    run.workspace.keep_facts(built.facts)
    return Read(wheel=built.facts.wheel, facts=built.facts, record=built.record)


def _read(run: Run, path: Path, record: BuildRecord | None = None) -> Read:
    wheel = open_wheel(path)
    return Read(wheel=wheel, facts=run.workspace.facts(wheel), record=record)


def _audit(origin: Origin, read: Read) -> Judged:
    audit = audit_wheel(read.facts)
    verdict = declared(judge_audit(read.facts, audit), settings_of(origin), "audit")
    return Judged(verdict=verdict, wheel=wheel_record(origin, read, audit))


def declared(verdict: Verdict, settings: Settings, where: str) -> Verdict:
    """Hold a verdict against what the project ignores and expects; `where` is a distro or `audit`."""
    verdict = apply_ignores(verdict, settings.ignore, where)
    return apply_expectations(verdict, settings.expect, where)


def wheel_record(origin: Origin, read: Read, audit: Audit | None = None) -> WheelRecord:
    """What the run records of a wheel."""
    return record_wheel(read.wheel, group_of(origin), audit=audit, build=read.record)


def not_proven(
    error: BaseException, subject: str, wheel: Wheel | str, *, cause: Cause | None = None
) -> Verdict:
    """Turn a failure beside the wheel into a verdict; errors that are no ManylinuxError are raised.

    Where there is no wheel, `wheel` is what it is reported under instead.
    """
    if not isinstance(error, ManylinuxError):
        raise error
    return Verdict(
        outcome=Outcome.NOT_PROVEN,
        subject=subject,
        wheel=wheel if isinstance(wheel, str) else wheel.filename,
        wheel_sha256="" if isinstance(wheel, str) else wheel.sha256,
        cause=cause or _cause(error),
        reason=str(error),
    )


_CAUSES: tuple[tuple[type[ManylinuxError], Cause], ...] = (
    (TrialTimeoutError, Cause.TIMEOUT),  # an EngineError too: the order counts
    (EngineError, Cause.ENGINE),
    (ImageError, Cause.IMAGE),
    (StoreError, Cause.IMAGE),
    (DependencyError, Cause.DEPENDENCY),
    (InternalError, Cause.INTERNAL),
    (UsageError, Cause.UNREADABLE),
)


def _cause(error: ManylinuxError) -> Cause:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.BUILD)
