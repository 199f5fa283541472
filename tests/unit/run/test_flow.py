"""The order of a run's trials, and what its errors become."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_values import make_facts, make_target, make_wheel

from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import (
    BuildError,
    DependencyError,
    EngineError,
    ImageError,
    MalformedWheelError,
    ManylinuxError,
    NoPythonError,
    StoreError,
    TrialTimeoutError,
    UsageError,
)
from pytest_manylinux.model.verdict import Cause, Outcome
from pytest_manylinux.run.flow import Flow
from pytest_manylinux.run.outcomes import failed
from pytest_manylinux.run.subjects import Judged, Read, TrialJob, WheelSubject
from pytest_manylinux.run.tasks import Tasks

WHEEL = make_wheel()
ORIGIN = WheelSubject(path=WHEEL.path, settings=merge(()), group="dist/x.whl", tags=WHEEL.tags)
READ = Read(wheel=WHEEL, facts=make_facts())


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Flow]:
    """A flow on one thread whose wheel has been read."""
    monkeypatch.setenv("PYTEST_MANYLINUX_CACHE", str(tmp_path))  # of tracebacks
    tasks = Tasks(1)
    run: Any = SimpleNamespace(tasks=tasks, workspace=None, own=tmp_path)
    found = Flow(run)
    monkeypatch.setattr(found, "facts", lambda _: tasks.once("facts", read))
    yield found
    tasks.stop()


async def read() -> Read:
    return READ


def job(arch: str) -> TrialJob:
    return TrialJob(origin=ORIGIN, target=replace(make_target(), arch=arch))


def test_the_trial_that_took_longest_goes_first(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    began, go = threading.Event(), threading.Event()

    def work(job: TrialJob) -> Judged:
        order.append(job.target.arch)
        began.set()
        assert go.wait(10)
        return failed(EngineError("none"), job.target.id, job.origin, READ)

    async def trial(job: TrialJob) -> Judged:
        return await flow._tasks.in_thread(work, job)

    monkeypatch.setattr(flow, "_trial", trial)
    jobs = [job(arch) for arch in ("i686", "x86_64", "aarch64", "s390x")]
    flow.usual = {f"dist/x.whl::{job('aarch64').target.id}": 9.0, "other::": 99.0}
    futures = [flow.start(lambda: flow.trial(jobs[0]))]
    assert began.wait(10)
    futures += [flow.start(partial(flow.trial, one)) for one in jobs[1:]]
    flow.start(read).result(10)
    go.set()
    for future in futures:
        future.result(10)
    assert order == ["i686", "aarch64", "x86_64", "s390x"], "one target, several architectures"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (EngineError("gone"), Cause.ENGINE),
        (TrialTimeoutError("slow"), Cause.TIMEOUT),
        (ImageError("none"), Cause.IMAGE),
        (NoPythonError("none"), Cause.PYTHON),
        (StoreError("full"), Cause.IMAGE),
        (DependencyError("none"), Cause.DEPENDENCY),
        (IndexError("a fault of ours"), Cause.INTERNAL),
    ],
)
def test_an_error_of_a_trial_is_a_verdict_on_its_wheel(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    async def trial(_: TrialJob) -> Judged:
        raise error

    monkeypatch.setattr(flow, "_trial", trial)
    judged = flow.start(lambda: flow.trial(job("x86_64"))).result(10)
    verdict = judged.verdict
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, cause)
    assert verdict.wheel_sha256 == WHEEL.sha256
    assert judged.wheel is not None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MalformedWheelError("no zip archive"), None),
        (UsageError("its file cannot be read"), Cause.UNREADABLE),
        (BuildError("it did not compile"), Cause.BUILD),
        (StoreError("the wheelhouse is full"), Cause.BUILD),
        (EngineError("gone"), Cause.ENGINE),
    ],
)
@pytest.mark.parametrize("kind", ["audit", "trial"])
def test_without_a_wheel_that_can_be_read_audit_and_trial_say_the_same(
    flow: Flow,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    error: ManylinuxError,
    cause: Cause | None,
) -> None:
    async def unread() -> Read:
        raise error

    async def trial(job: TrialJob) -> Judged:
        await flow.facts(job.origin)
        raise AssertionError("it cannot be tried")

    monkeypatch.setattr(flow, "facts", lambda _: flow._tasks.once("unread", unread))
    monkeypatch.setattr(flow, "_trial", trial)
    one = job("x86_64")
    future = (
        flow.start(lambda: flow.audit(ORIGIN))
        if kind == "audit"
        else flow.start(lambda: flow.trial(one))
    )
    judged = future.result(10)
    outcome = Outcome.NOT_PORTABLE if cause is None else Outcome.NOT_PROVEN
    assert (judged.verdict.outcome, judged.verdict.cause) == (outcome, cause)
    assert judged.verdict.subject == ("audit" if kind == "audit" else one.target.id)
    assert judged.wheel is None
