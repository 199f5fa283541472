from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_manylinux.images.image_progress import LEAST, TRICKLE, Pace

SILENCE = 900.0


@dataclass
class Clock:
    now: float = 0.0
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(SILENCE, clock=lambda: self.now)

    def wait(self, seconds: float) -> Pace:
        self.now += seconds
        return self.pace


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_trickle_is_told_from_a_download(clock: Clock) -> None:
    for count in range(1, 100):
        clock.wait(TRICKLE - 1).loaded(count * LEAST)
        assert not clock.pace.is_trickle
    clock.wait(TRICKLE / 2).loaded(99 * LEAST + 1)
    clock.wait(TRICKLE / 2 + 1).loaded(100 * LEAST - 1)
    assert clock.pace.is_trickle
    assert not clock.pace.is_silent


def test_the_next_file_begins_anew(clock: Clock) -> None:
    clock.pace.loaded(10 * LEAST)
    clock.wait(TRICKLE).loaded(5)
    assert not clock.wait(TRICKLE - 1).is_trickle
    assert clock.wait(2).is_trickle


def test_work_that_is_no_download_may_be_silent_for_long(clock: Clock) -> None:
    clock.pace.loaded(LEAST)
    clock.pace.heard()
    for _ in range(3):
        clock.wait(SILENCE / 4).loaded(0)
    assert not clock.pace.is_trickle
    assert not clock.pace.is_silent
    assert clock.wait(SILENCE / 4 + 1).is_silent


def test_what_is_heard_between_two_drops_is_no_download_of_theirs(clock: Clock) -> None:
    clock.pace.loaded(10)
    clock.wait(TRICKLE - 1).heard()
    clock.wait(2).loaded(11)
    assert not clock.wait(TRICKLE - 1).is_trickle
    assert clock.wait(2).is_trickle
