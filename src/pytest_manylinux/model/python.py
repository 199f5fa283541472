"""A Python interpreter as a target or a build wants it: its implementation, release and threads."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from pytest_manylinux.errors import UsageError

_IDENTIFIER = re.compile(r"(?P<kind>cp|pp)(?P<major>\d)(?P<minor>\d+)(?P<threads>t?)")
_VERSION = re.compile(r"(?P<kind>(?:pypy)?)(?P<major>\d)\.(?P<minor>\d+)(?P<threads>t?)")
_FIRST_FREE_THREADED = (3, 13)  # PEP 703
_FIRST_OF_PYPY_8 = (3, 12)
_FIRST_WITHOUT_M = (3, 8)  # before it the ABI tag ends in m, for pymalloc: "What's New in Python 3.8"
# The ABI of PyPy's C API: that of its releases 7.3.x, which the wheels on the index are for, and of
# 8.0, the first with Python 3.12.
_PYPY_ABI, _PYPY_ABI_SINCE_312 = "pp73", "pp80"


class Implementation(str, enum.Enum):
    """An implementation of Python, by its abbreviation in interpreter tags (PEP 425)."""

    CPYTHON = "cp"
    PYPY = "pp"

    @property
    def full_name(self) -> str:
        """The name that `platform.python_implementation()` gives."""
        return "CPython" if self is Implementation.CPYTHON else "PyPy"


@dataclass(frozen=True, slots=True, order=True)
class PythonVersion:
    """A feature release of an implementation, such as CPython 3.14, with or without the GIL.

    They are ordered by release, then by implementation (CPython first), then with the GIL before
    without.
    """

    major: int
    minor: int
    implementation: Implementation = Implementation.CPYTHON
    free_threaded: bool = False

    @property
    def tag(self) -> str:
        """The interpreter tag, such as `cp314`, which does not tell about threads (PEP 425)."""
        return f"{self.implementation.value}{self.major}{self.minor}"

    @property
    def id(self) -> str:
        """The identifier that cibuildwheel has for it, such as `cp311`, `cp314t` or `pp311`."""
        return f"{self.tag}{'t' * self.free_threaded}"

    @property
    def dotted(self) -> str:
        """The release that `python_version` gives (PEP 508), such as `3.11`."""
        return f"{self.major}.{self.minor}"

    @property
    def release(self) -> tuple[int, int]:
        """The release as numbers, such as (3, 11)."""
        return self.major, self.minor

    @property
    def abi(self) -> str:
        """The usual ABI tag of extension modules, such as `cp37m`, `cp314t` or `pypy311_pp73`."""
        if self.implementation is Implementation.PYPY:
            later = self.release >= _FIRST_OF_PYPY_8
            return f"pypy{self.major}{self.minor}_{_PYPY_ABI_SINCE_312 if later else _PYPY_ABI}"
        return f"{self.id}{'m' * (self.release < _FIRST_WITHOUT_M)}"

    @property
    def title(self) -> str:
        """What people call it: `Python 3.11`, `free-threaded Python 3.14`, `PyPy 3.11`."""
        if self.implementation is Implementation.PYPY:
            return f"PyPy {self.dotted}"
        return f"{'free-threaded ' * self.free_threaded}Python {self.dotted}"

    def __str__(self) -> str:
        """As in ids."""
        return self.id


def parse_python(text: str, *, where: str = "") -> PythonVersion:
    """Read `cp311`, `3.11`, `cp314t`, `3.14t`, `pp311` or `pypy3.11`; raises UsageError for others."""
    word = text.strip()
    match = _IDENTIFIER.fullmatch(word) or _VERSION.fullmatch(word)
    if match is None:
        raise UsageError(
            f"{where + ': ' if where else ''}{text!r} is not a Python version",
            remedy="write it as cp311 or 3.11, cp314t for a free-threaded one, pp311 for PyPy",
        )
    release = int(match["major"]), int(match["minor"])
    pypy = match["kind"] in {"pp", "pypy"}
    if match["threads"] and (pypy or release < _FIRST_FREE_THREADED):
        raise UsageError(
            f"{where + ': ' if where else ''}there is no free-threaded Python {text!r}",
            why="CPython has free-threaded builds since 3.13 (PEP 703)",
            remedy="leave the t out, or take cp313t or later",
        )
    implementation = Implementation.PYPY if pypy else Implementation.CPYTHON
    return PythonVersion(*release, implementation, bool(match["threads"]))
