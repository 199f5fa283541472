"""Trials that a cluster does several times, one try after the other, with what its workers answer."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_values import imported, make_facts, make_observation, make_target, make_wheel, raised

from pytest_manylinux.cluster.protocol import RemoteResult
from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import ClusterError
from pytest_manylinux.model.verdict import Outcome, Tries, Verdict
from pytest_manylinux.run import flow as module
from pytest_manylinux.run.flow import Flow
from pytest_manylinux.run.observation_memory import Memory
from pytest_manylinux.run.subjects import Judged, Read, TrialJob, WheelSubject
from pytest_manylinux.run.tasks import Tasks


class Workers:
    """Answers as `letters` say: pass, fail, or none because the trial was lost."""

    def __init__(self, letters: str, *, leaf: str = "2.0") -> None:
        self.letters = iter(letters)
        self.leaf = leaf

    def send(self, *_: object) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(next(self.letters))
        return future

    def receive(self, letter: str) -> RemoteResult:
        if letter == "u":
            raise ClusterError("the cluster lost this trial")
        seen = make_observation(imported() if letter == "p" else raised("ValueError", "no"))
        assert seen.install is not None
        install = replace(seen.install, installed=(("demo", "1.0"), ("leaf", self.leaf)))
        return RemoteResult(
            worker="w1",
            engine="bubblewrap 0.8.0",
            observation=replace(seen, install=install, worker="w1"),
        )


def tried(folder: Path, monkeypatch: pytest.MonkeyPatch, workers: Workers, *, repeat: int) -> Verdict:
    """The verdict of a trial that the cluster's workers prepare themselves."""
    monkeypatch.setattr(module, "send", workers.send)
    monkeypatch.setattr(module, "receive", workers.receive)
    settings = replace(merge(()), repeat=repeat, dask="tcp://192.0.2.7:8786")
    tasks = Tasks(1)
    workspace = SimpleNamespace(store=SimpleNamespace(root=folder), uv=lambda _: None)
    run: Any = SimpleNamespace(
        memory=Memory(folder),
        settings=settings,
        tasks=tasks,
        workspace=workspace,
        cluster=lambda: None,
        suites=SimpleNamespace(of=lambda *_: None),
        own=folder,
    )
    wheel = make_wheel()
    origin = WheelSubject(path=wheel.path, settings=settings, group="dist", tags=wheel.tags)
    job, flow = TrialJob(origin=origin, target=make_target()), Flow(run)
    read = Read(wheel=wheel, facts=make_facts())

    async def prepared() -> None:
        """No image: the worker has to make it."""

    async def known() -> Read:
        return read

    monkeypatch.setattr(flow, "facts", lambda _: tasks.once("facts", known))
    monkeypatch.setattr(flow, "_prepared", lambda _: tasks.once("prepared", prepared))
    judged: Judged = flow.start(lambda: flow.trial(job)).result(timeout=60)
    tasks.stop()
    assert list(workers.letters) == []
    return judged.verdict


def test_the_tries_are_done_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = tried(tmp_path, monkeypatch, Workers("pfp"), repeat=3)
    assert [finding.name for finding in verdict.findings] == ["import-error", "flaky"]
    assert verdict.tries == Tries(count=3, failed=1, known=3, known_failed=1)
    assert verdict.observation is not None
    assert verdict.observation.worker == "w1"


def test_a_lost_try_ends_them_and_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tried(tmp_path, monkeypatch, Workers("pu"), repeat=3)
    assert lost.outcome is Outcome.NOT_PROVEN
    failed = tried(tmp_path, monkeypatch, Workers("fu"), repeat=3)
    assert failed.tries == Tries(count=1, failed=1, known=2, known_failed=1)


def test_failures_that_workers_saw_are_remembered_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(tmp_path, monkeypatch, Workers("f"), repeat=1).tries is None
    verdict = tried(tmp_path, monkeypatch, Workers("p"), repeat=1)
    assert verdict.reason == "passed now, failed 1 of 2 times"
    newer = tried(tmp_path, monkeypatch, Workers("p", leaf="2.1"), repeat=1)
    assert newer.outcome is Outcome.PORTABLE, "with another dependency nothing is known"
