"""Work that is done once per wheel, however many targets it is held against."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from pytest_manylinux.model.wheel import WheelFacts

T = TypeVar("T")
_KEPT = 8


class _Same:
    """Facts as a key: the same object, not equal ones (comparing facts costs more than the work)."""

    __slots__ = ("facts",)

    def __init__(self, facts: WheelFacts) -> None:
        self.facts = facts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.facts is self.facts

    def __hash__(self) -> int:
        return id(self.facts)


def once_per_wheel(function: Callable[[WheelFacts], T]) -> Callable[[WheelFacts], T]:
    """Keep a function's answers for the last few wheels."""
    kept = lru_cache(maxsize=_KEPT)(lambda key: function(key.facts))

    @wraps(function)
    def ask(facts: WheelFacts) -> T:
        return kept(_Same(facts))

    return ask
