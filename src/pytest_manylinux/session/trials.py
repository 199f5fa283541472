"""The tasks of trials: what is seen of a wheel on a target, and what that amounts to."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from pytest_manylinux.diagnose.judge import judge, judge_unreadable
from pytest_manylinux.dispatch import Needs
from pytest_manylinux.errors import MalformedWheelError, ManylinuxError, StoreError
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.verdict import Cause, Verdict
from pytest_manylinux.prove.dependencies import resolve_dependencies
from pytest_manylinux.prove.trial import TrialRequest, run_trial
from pytest_manylinux.session.memory import observation_key
from pytest_manylinux.session.preparing import add_image, add_venv, venvs_folder
from pytest_manylinux.session.run import Run, task_key
from pytest_manylinux.session.subjects import TrialJob, key_of, name_of, settings_of
from pytest_manylinux.session.work import Judged, Read, add_facts, declared, not_proven, wheel_record


def add_trial(run: Run, job: TrialJob) -> Future[Any]:
    """Add a trial, after the facts and the target's image."""
    add_facts(run, job.origin)
    image = add_image(run, job.target, ImagePurpose.TRIAL)
    return run.graph.add(
        task_key("trial", *key_of(job.origin), job.target.id),
        lambda done: _trial(run, job, done),
        needs=[task_key("facts", *key_of(job.origin)), image, add_venv(run, job.target)],
    )


def _trial(run: Run, job: TrialJob, done: Needs) -> Judged:
    subject = job.target.id
    error = done[0].exception()
    if isinstance(error, MalformedWheelError):
        return Judged(verdict=judge_unreadable(name_of(job.origin), error, subject=subject))
    if isinstance(error, StoreError):  # the wheelhouse's: an image's own would come with done[1]
        return Judged(verdict=not_proven(error, subject, name_of(job.origin), cause=Cause.BUILD))
    if error is not None:
        return Judged(verdict=not_proven(error, subject, name_of(job.origin)))
    read: Read = done[0].result()
    record = wheel_record(job.origin, read)
    if error := done[1].exception():
        return Judged(verdict=not_proven(error, subject, read.wheel), wheel=record)
    try:
        verdict = _prove(run, job, read, done[1].result())
    except ManylinuxError as error:
        verdict = not_proven(error, subject, read.wheel)
    return Judged(verdict=verdict, wheel=record)


def _prove(run: Run, job: TrialJob, read: Read, image: Image) -> Verdict:
    settings = settings_of(job.origin)
    engine = run.engine()
    dependencies = None
    if settings.dependencies == "resolve":
        dependencies = resolve_dependencies(
            read.wheel,
            read.facts,
            job.target,
            image,
            engine,
            cache=run.store.root / "dependencies",
            timeout=settings.trial_timeout,
        )
    request = TrialRequest(
        wheel=read.wheel,
        facts=read.facts,
        target=job.target,
        image=image,
        imports=settings.imports,
        import_skip=settings.import_skip,
        dependencies=dependencies,
        programs=tuple(tuple(line.split()) for line in settings.programs),
        timeout=settings.trial_timeout,
        cache=venvs_folder(run),
    )
    key = observation_key(request, f"{engine.name} {engine.version()}")
    observation = run.memory.recall(key)
    if observation is None:
        observation = run_trial(request, engine, run.warm())
        run.memory.keep(key, observation)
    else:  # the same bytes, but perhaps by another way than then
        observation = replace(
            observation,
            image_name=image.name,
            image_source=image.source.value,
            image_note=image.note,
        )
    verdict = judge(
        read.facts,
        observation,
        job.target,
        wheel=read.wheel,
        survey=run.survey(job.target.distro, image),
    )
    return declared(verdict, settings, job.target.distro.id)
