"""A CPython version as a target or a build wants it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_manylinux.errors import UsageError

_TAG = re.compile(r"cp(?P<major>\d)(?P<minor>\d+)")
_VERSION = re.compile(r"(?P<major>\d)\.(?P<minor>\d+)")


@dataclass(frozen=True, slots=True, order=True)
class PythonVersion:
    """A feature release of CPython, such as 3.11."""

    major: int
    minor: int

    @property
    def tag(self) -> str:
        """The interpreter tag, such as `cp311` (PEP 425)."""
        return f"cp{self.major}{self.minor}"

    @property
    def dotted(self) -> str:
        """The version as people write it, such as `3.11`."""
        return f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        """As in ids: the interpreter tag."""
        return self.tag


def parse_python(text: str, *, where: str = "") -> PythonVersion:
    """Read `cp311` or `3.11`; raises UsageError for anything else."""
    match = _TAG.fullmatch(text.strip()) or _VERSION.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{where + ': ' if where else ''}{text!r} is no CPython version",
            remedy="write it as cp311 or 3.11",
        )
    return PythonVersion(int(match["major"]), int(match["minor"]))
