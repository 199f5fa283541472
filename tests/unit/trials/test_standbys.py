"""What waits for trials is used once, counted, and gone in the end; what is odd gives no answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from pytest_manylinux.engines.api import Completed, Mount, Status
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.trials.standby_pool import Standbys

FINE = Completed(
    status=Status.EXITED, exit_code=0, signal=None, stdout=b"", stderr=b"", truncated=False, duration=0
)
KEY, OTHER = ("sha256:1", "python3"), ("sha256:2", "python3")


@dataclass
class One:
    """Runs once."""

    ran: int = 0
    closed: bool = False

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        assert timeout
        assert not mounts
        self.ran += 1
        return FINE

    def close(self) -> None:
        self.closed = True


@dataclass
class Maker:
    """Starts them, or fails."""

    failure: Exception | None = None
    made: list[One] = field(default_factory=list)
    may: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> One:
        self.may.wait(60)
        if self.failure:
            raise self.failure
        self.made.append(One())
        return self.made[-1]


def run(standby: object) -> Completed:
    assert isinstance(standby, One)
    return standby.run((), timeout=1)


@pytest.fixture
def start() -> Maker:
    maker = Maker()
    maker.may.set()
    return maker


@pytest.fixture
def standbys() -> Iterator[Standbys]:
    standbys = Standbys()
    yield standbys
    standbys.close()


def test_each_runs_once_and_no_more_are_started_than_trials_come(
    standbys: Standbys, start: Maker
) -> None:
    for more in reversed(range(5)):
        assert standbys.attempt(KEY, start, run, more) == FINE
    standbys.close()
    assert [one.ran for one in start.made] == [1] * 5
    assert all(one.closed for one in start.made)


def test_what_was_started_for_nothing_is_closed(standbys: Standbys, start: Maker) -> None:
    assert standbys.attempt(KEY, start, run, 1000) == FINE
    standbys.close()
    assert 1 < len(start.made) < 10
    assert sum(one.ran for one in start.made) == 1
    assert all(one.closed for one in start.made)


def test_images_do_not_share_and_are_bounded_together(standbys: Standbys) -> None:
    makers = [Maker() for _ in range(30)]
    for number, maker in enumerate(makers):
        maker.may.set()
        assert standbys.attempt((str(number), "python3"), maker, run, 1000) == FINE
    standbys.close()
    assert all(len([one for one in maker.made if one.ran]) == 1 for maker in makers)
    assert sum(len(maker.made) - 1 for maker in makers) <= 16


@pytest.mark.parametrize("failure", [SandboxError("no"), EngineError("no"), OSError("no")])
def test_an_image_that_gave_trouble_is_not_tried_again(standbys: Standbys, failure: Exception) -> None:
    start = Maker(failure)
    start.may.set()
    assert standbys.attempt(KEY, start, run, 0) is None
    start.failure = None
    assert standbys.attempt(KEY, start, run, 5) is None
    assert start.made == []
    assert standbys.attempt(OTHER, start, run, 0) == FINE


def here_and_ahead(here: Maker, ahead: Maker) -> Callable[[], One]:
    """One maker for the thread of a test, another for what is started ahead."""
    ours = threading.current_thread()
    return lambda: here() if threading.current_thread() is ours else ahead()


def test_trouble_with_one_started_ahead_is_no_answer(standbys: Standbys, start: Maker) -> None:
    ahead = Maker(SandboxError("no"))
    ahead.may.set()
    assert standbys.attempt(KEY, here_and_ahead(start, ahead), run, 1) == FINE
    assert standbys.attempt(KEY, start, run, 0) is None


@pytest.mark.parametrize(
    "ending", [None, replace(FINE, exit_code=1), replace(FINE, status=Status.LOST, exit_code=None)]
)
def test_a_run_that_does_not_end_well_is_no_answer(
    standbys: Standbys, start: Maker, ending: Completed | None
) -> None:
    assert standbys.attempt(KEY, start, lambda _: ending, 0) is None
    assert standbys.attempt(KEY, start, run, 0) == FINE


def test_a_run_that_raises_leaves_none(standbys: Standbys, start: Maker) -> None:
    def fail(_: object) -> Completed:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        standbys.attempt(KEY, start, fail, 0)
    standbys.close()
    assert [one.closed for one in start.made] == [True]


def test_one_that_is_being_started_when_all_ends_is_closed(start: Maker) -> None:
    standbys = Standbys()
    ahead = Maker()
    assert standbys.attempt(KEY, here_and_ahead(start, ahead), run, 1) == FINE
    closing = threading.Thread(target=standbys.close)
    closing.start()
    ahead.may.set()
    closing.join(60)
    assert all(one.closed for one in (*start.made, *ahead.made))
    with pytest.raises(SandboxError, match="cut short"):
        standbys.attempt(KEY, start, run, 0)
