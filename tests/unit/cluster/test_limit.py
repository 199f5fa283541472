"""What is waited for ends, also where it never does."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from pytest_manylinux.cluster import worker as module
from pytest_manylinux.cluster.worker import PREPARING, Hand, Hands, Limit
from pytest_manylinux.errors import EngineError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_each_stage_has_its_own_time(clock: list[float]) -> None:
    limit = Limit()
    assert limit.left() == PREPARING
    clock[0] += 100
    limit.stage("end a trial", 60.0)
    clock[0] += 50
    assert limit.left() == 10
    clock[0] += 50
    assert limit.left() < 0
    assert limit.error().what == "could not end a trial within 60 s, and gave it up"


def test_what_moves_on_has_its_time_anew(clock: list[float]) -> None:
    limit = Limit()
    limit.stage("bring the wheel", 60.0)
    clock[0] += 50
    limit.restart()
    clock[0] += 50
    assert limit.left() == 10


def test_work_is_done_in_one_thread_that_stays() -> None:
    hands: Hands[int] = Hands()
    threads = {hands.do(threading.get_ident, Limit()) for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_what_goes_wrong_is_raised_and_the_hand_goes_on() -> None:
    hands: Hands[int] = Hands()

    def fail() -> int:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        hands.do(fail, Limit())
    assert hands.do(lambda: 1, Limit()) == 1


def test_a_hand_that_hangs_is_given_up_for_another() -> None:
    go = threading.Event()
    hands: Hands[bool] = Hands()
    limit = Limit()
    limit.stage("wait", 0.01)
    with pytest.raises(EngineError, match=r"could not wait within 0 s, and gave it up"):
        hands.do(go.wait, limit)
    assert hands.do(lambda: not go.is_set(), Limit())
    go.set()


def test_a_limit_that_is_moved_meanwhile_is_kept_to() -> None:
    """The work says itself how long it may take: longer here than it was given at first."""
    limit = Limit()
    limit.stage("begin", 0.2)

    def work() -> int:
        limit.stage("go on", 60.0)
        threading.Event().wait(0.4)
        return 1

    assert Hand[int]().do(work, limit) == 1


def test_a_limit_that_is_shortened_meanwhile_holds() -> None:
    go = threading.Event()
    limit = Limit()

    def work() -> bool:
        limit.stage("go on", 0.01)
        return go.wait(60)

    with pytest.raises(EngineError, match="could not go on"):
        Hand[bool]().do(work, limit)
    assert not go.is_set(), "given up, not waited for"
    go.set()
