"""Work that is done once for an object, however often it is asked for: once per wheel, per survey."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TypeVar

from pytest_manylinux.model.distro import Survey
from pytest_manylinux.model.wheel import WheelFacts

S = TypeVar("S")
T = TypeVar("T")
_WHEELS = 8
_SURVEYS = 64  # a run has one for each of its distros


def once_per_wheel(function: Callable[[WheelFacts], T]) -> Callable[[WheelFacts], T]:
    """Keep a function's answers for the last few wheels."""
    return _once(function, _WHEELS)


def once_per_survey(function: Callable[[Survey], T]) -> Callable[[Survey], T]:
    """Keep a function's answers for the surveys of a run."""
    return _once(function, _SURVEYS)


def _once(function: Callable[[S], T], most: int) -> Callable[[S], T]:
    """Keep the last so many answers.

    The same object is asked for, not an equal one: comparing facts costs more than the work. What is
    kept holds the object too, so that no other can have its identity meanwhile.
    """
    kept: dict[int, tuple[S, T]] = {}
    lock = Lock()

    @wraps(function)
    def ask(of: S) -> T:
        found = kept.get(id(of))
        if found is not None:
            return found[1]
        answer = function(of)
        with lock:
            while len(kept) >= most:
                del kept[next(iter(kept))]
            kept[id(of)] = (of, answer)
        return answer

    return ask
