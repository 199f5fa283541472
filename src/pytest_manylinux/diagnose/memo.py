"""Work that is done once per wheel, however many targets it is held against."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TypeVar

from pytest_manylinux.model.wheel import WheelFacts

T = TypeVar("T")
_KEPT = 8


def once_per_wheel(function: Callable[[WheelFacts], T]) -> Callable[[WheelFacts], T]:
    """Keep a function's answers for the last few wheels.

    The same object is asked for, not an equal one: comparing facts costs more than the work. What is
    kept holds the facts too, so that no other object can have their identity meanwhile.
    """
    kept: dict[int, tuple[WheelFacts, T]] = {}
    lock = Lock()

    @wraps(function)
    def ask(facts: WheelFacts) -> T:
        found = kept.get(id(facts))
        if found is not None:
            return found[1]
        answer = function(facts)
        with lock:
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            kept[id(facts)] = (facts, answer)
        return answer

    return ask
