"""What was read of a wheel before: the same bytes are not unpacked again to read the same facts."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packaging.tags import Tag

from pytest_manylinux.cache.values import ValueCache, code_version, key_of
from pytest_manylinux.escape import printable
from pytest_manylinux.inspect.wheel_file import read_wheel
from pytest_manylinux.model.wheel import Wheel, WheelFacts

LIMIT = 256 * 1024 * 1024  # bytes; some ten thousand wheels
_LIBRARIES = ("packaging", "pyelftools", "abi3info")


class FactsCache:
    """Facts of wheels, kept below `root` if there is one; with `fresh` all are read anew."""

    def __init__(self, root: Path | None, *, fresh: bool = False, limit: int = LIMIT) -> None:
        self._kept: ValueCache[WheelFacts] | None = None
        if root is not None:
            self._kept = ValueCache(
                root, WheelFacts, limit=limit, fresh=fresh, encode=_encode, decode=_decode
            )

    def of(self, wheel: Wheel) -> WheelFacts:
        """The wheel's facts; raises what read_wheel raises, and keeps nothing then."""
        if self._kept is None:
            return read_wheel(wheel)
        key = _key(wheel)
        known = self._kept.recall(key)
        if known is not None:
            return replace(known, wheel=wheel)
        facts = read_wheel(wheel)
        self._kept.keep(key, facts)
        return facts

    def keep(self, facts: WheelFacts) -> None:
        """Keep what was read elsewhere."""
        if self._kept is not None:
            self._kept.keep(_key(facts.wheel), facts)

    def prune(self) -> None:
        """Forget the least recently used until the rest fits the limit."""
        if self._kept is not None:
            self._kept.prune()


def _key(wheel: Wheel) -> str:
    """Over the bytes, the name (which metadata is compared with), and whoever reads."""
    return key_of(_reader(), wheel.filename, wheel.sha256)


@cache  # releases are looked up in files
def _reader() -> str:
    """Who reads wheels: our code, its libraries' releases, and the Python that compiles sources."""
    releases = [f"{name} {version(name)}" for name in _LIBRARIES]
    compiler = "{}.{}".format(*sys.version_info)
    return " ".join((code_version("inspect", "model"), compiler, *releases))


def _encode(value: Any) -> str:  # noqa: ANN401 - msgspec hands over what it does not know
    if isinstance(value, Path):
        return printable(value)  # where the wheel lay: whoever recalls the facts knows where it lies
    if isinstance(value, Tag):
        return str(value)
    raise TypeError(f"facts hold no {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - the same
    if kind is Tag:
        return Tag(*str(value).split("-"))
    if kind is Path:
        return Path(str(value))
    raise TypeError(f"facts hold no {kind.__name__}")
