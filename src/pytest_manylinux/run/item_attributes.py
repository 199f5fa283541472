"""Attributes of pytest's items that take little room: of a large release there are tens of thousands.

pytest gives every item collections of its own, most of which stay empty, and an id whose parts are
strings of its own. Few of the collections are ever read, and the parts are the same for all trials on
one target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class MadeOnRead(Generic[_T]):
    """An attribute that is made when it is first read, by `make` from the item.

    An empty value that is assigned counts as none: pytest's constructor begins with one.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, item: Any, owner: type) -> _T:  # noqa: ANN401 - an item; this knows no pytest
        held = vars(item)
        if self._name not in held:
            held[self._name] = self._make(item)
        value: _T = held[self._name]
        return value

    def __set__(self, item: Any, value: _T) -> None:  # noqa: ANN401 - the same
        if value:
            vars(item)[self._name] = value


_Id = TypeVar("_Id")


def id_in_parts(known: _Id, name: str) -> _Id:
    """The id of an item of this name, as pytest would parse it; `known` has the name in one part.

    `known` is a NodeId of pytest's, which it does not export: `path`, `names`, `params` in brackets.
    From pytest 9.2 on ids are in parts, of which `--lf` compares each, with those that it has parsed.
    """
    own: Any = known
    kind: Any = type(known)
    parts = _parsed(kind, name)
    above = own.names[:-1]
    found: _Id = replace(parts, path=own.path, names=(*above, *parts.names) if above else parts.names)
    return found


@cache
def _parsed(kind: Any, name: str) -> Any:  # noqa: ANN401 - pytest does not export the type
    return kind.parse(f"::{name}")
