"""The tasks of trials: what is seen of a wheel on a target, and what that amounts to.

A trial is done here, or on a worker of a cluster. Whatever this machine can prepare for one, it does
either way: the image, and what the wheel depends on.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pytest_manylinux.cache.disk_errors import room_errors
from pytest_manylinux.cluster.protocol import RemoteResult
from pytest_manylinux.diagnose.judge import judge, judge_unreadable
from pytest_manylinux.errors import MalformedWheelError, ManylinuxError, StoreError
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.survey import Survey
from pytest_manylinux.model.verdict import Cause, Verdict
from pytest_manylinux.run.away import engines_of, receive, send
from pytest_manylinux.run.build_tasks import Judged, Read, add_facts, declared, not_proven, wheel_record
from pytest_manylinux.run.observation_memory import afterwards_key, observation_key
from pytest_manylinux.run.preparation_tasks import add_image, add_venv
from pytest_manylinux.run.session import Run, task_key
from pytest_manylinux.run.subjects import TrialJob, key_of, name_of, settings_of
from pytest_manylinux.run.tasks import Away, Needs
from pytest_manylinux.run.tries import TryCount
from pytest_manylinux.trials.trial import TrialRequest


def add_trial(run: Run, job: TrialJob) -> Future[Any]:
    """Add a trial, after the facts and the target's image."""
    add_facts(run, job.origin)
    key = task_key("trial", *key_of(job.origin), job.target.id)
    if key not in run.graph:
        run.coming.add(job.target.id)
    return run.graph.add(
        key,
        lambda done: _trial(run, job, done),
        needs=[task_key("facts", *key_of(job.origin)), *_add_preparation(run, job.target)],
    )


def _add_preparation(run: Run, target: Target) -> list[tuple[Any, ...]]:
    """Add what this machine prepares for a target, the image first; nothing if it cannot."""
    if not run.settings.dask:
        return [add_image(run, target, ImagePurpose.TRIAL), add_venv(run, target)]
    return [add_image(run, target, ImagePurpose.TRIAL)] if run.prepares(target) else []


def _trial(run: Run, job: TrialJob, done: Needs) -> Judged | Away:
    more = run.coming.begin(job.target.id)
    if error := done[0].exception():
        return _unread(job, error)
    read: Read = done[0].result()
    if len(done) > 1 and (error := done[1].exception()):
        return _unproven(job, read, error)
    image: Image | None = done[1].result() if len(done) > 1 else None
    try:
        with room_errors(run.workspace.store.root):
            request = None if image is None else _request(run, job, read, image)
            if run.settings.dask:
                return _elsewhere(run, job, read, request)
            return _here(run, job, read, request, more)
    except ManylinuxError as error:
        return _unproven(job, read, error)


def _unread(job: TrialJob, error: BaseException) -> Judged:
    """The verdict where there are no facts: nothing was built, or what there is cannot be read."""
    subject, name = job.target.id, name_of(job.origin)
    if isinstance(error, MalformedWheelError):
        return Judged(verdict=judge_unreadable(name, error, subject=subject))
    if isinstance(error, StoreError):  # the wheelhouse's: an image's own would come with done[1]
        return Judged(verdict=not_proven(error, subject, name, cause=Cause.BUILD))
    return Judged(verdict=not_proven(error, subject, name))


def _here(run: Run, job: TrialJob, read: Read, request: TrialRequest | None, more: int) -> Judged:
    if request is None:
        raise StoreError(f"no image of {job.target.id} was prepared")
    key = observation_key(request, run.workspace.engine_label())
    tries = TryCount(run.memory, settings_of(job.origin).repeat)
    if tries.wanted == 1 and (known := _recalled(run, request, key)):
        survey = run.workspace.survey(job.target.distro, request.image)
        return _declared(job, read, _judged(job, read, known, survey))
    while tries.left:
        try:
            observation = run.workspace.observe(request, more + tries.left - 1)
        except ManylinuxError:
            if tries.failed:  # that is shown, whatever the others would have come to
                break
            raise
        survey = run.workspace.survey(job.target.distro, request.image)
        tries.add(key, _judged(job, read, observation, survey))
    return _declared(job, read, tries.verdict())


def _elsewhere(run: Run, job: TrialJob, read: Read, request: TrialRequest | None) -> Judged | Away:
    """Have a worker do it, unless one with such an engine has done the same before."""
    tries = TryCount(run.memory, settings_of(job.origin).repeat)
    for label in engines_of(run) if request is not None and tries.wanted == 1 else ():
        if request is not None and (known := _recalled(run, request, observation_key(request, label))):
            survey = run.workspace.survey(job.target.distro, request.image)
            return _declared(job, read, _judged(job, read, known, survey))
    return _sent(_Cell(run=run, job=job, read=read, request=request, tries=tries))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A trial that the cluster does, one try after the other."""

    run: Run
    job: TrialJob
    read: Read
    request: TrialRequest | None
    tries: TryCount


def _sent(cell: _Cell) -> Away:
    future = send(cell.run, cell.job, cell.read.wheel, cell.request)
    return Away(future=future, then=partial(_arrived, cell))


def _arrived(cell: _Cell, future: Future[Any]) -> Judged | Away:
    run, job, read, tries = cell.run, cell.job, cell.read, cell.tries
    try:
        seen = receive(future)
        survey = seen.survey
        if cell.request is not None:
            survey = run.workspace.survey(job.target.distro, cell.request.image)
        tries.add(_key_of(cell, seen), _judged(job, read, seen.observation, survey))
        if tries.left:
            return _sent(cell)
    except ManylinuxError as error:
        if not tries.failed:
            return _unproven(job, read, error)
    return _declared(job, read, tries.verdict())


def _key_of(cell: _Cell, seen: RemoteResult) -> str:
    if cell.request is not None:
        return observation_key(cell.request, seen.engine)
    settings = settings_of(cell.job.origin)
    return afterwards_key(cell.read.wheel, seen.observation, settings, seen.engine)


def _request(run: Run, job: TrialJob, read: Read, image: Image) -> TrialRequest:
    settings = settings_of(job.origin)
    dependencies = None
    if settings.dependencies == "resolve":
        dependencies = run.workspace.dependencies(
            read.wheel, read.facts, job.target, image, timeout=settings.trial_timeout
        )
    return TrialRequest(
        wheel=read.wheel,
        facts=read.facts,
        target=job.target,
        image=image,
        imports=settings.imports,
        import_skip=settings.import_skip,
        dependencies=dependencies,
        programs=tuple(tuple(line.split()) for line in settings.programs),
        timeout=settings.trial_timeout,
        cache=run.workspace.venvs,
    )


def _recalled(run: Run, request: TrialRequest, key: str) -> Observation | None:
    """What was seen before of the same bytes on such an engine, but perhaps by another way than now."""
    observation = run.memory.recall(key)
    if observation is None:
        return None
    image = request.image
    return replace(
        observation,
        image_name=image.name,
        image_source=image.source.value,
        image_note=image.note,
    )


def _judged(job: TrialJob, read: Read, observation: Observation, survey: Survey | None) -> Verdict:
    return judge(read.facts, observation, job.target, wheel=read.wheel, survey=survey)


def _declared(job: TrialJob, read: Read, verdict: Verdict) -> Judged:
    verdict = declared(verdict, settings_of(job.origin), job.target.distro.id)
    return Judged(verdict=verdict, wheel=wheel_record(job.origin, read))


def _unproven(job: TrialJob, read: Read, error: BaseException) -> Judged:
    verdict = not_proven(error, job.target.id, read.wheel)
    return Judged(verdict=verdict, wheel=wheel_record(job.origin, read))
