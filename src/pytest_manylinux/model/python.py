"""A Python interpreter as a target or a build wants it: its implementation, release and threads."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from pytest_manylinux.errors import UsageError

_IDENTIFIER = re.compile(
    r"(?P<kind>cp|pp|gp|graalpy)(?P<major>\d)(?P<minor>\d{1,5})(?:(?P<threads>t)|_(?P<abi>\d{1,9}))?"
)
_VERSION = re.compile(
    r"(?P<kind>(?:pypy|graalpy)?)(?P<major>\d)\.(?P<minor>\d{1,5})(?P<threads>t?)(?P<abi>)"
)
_FIRST_FREE_THREADED = (3, 13)  # PEP 703
_FIRST_OF_PYPY_8 = (3, 12)
_FIRST_WITHOUT_M = (3, 8)  # before it the ABI tag ends in m, for pymalloc: "What's New in Python 3.8"
# The ABI of PyPy's C API: that of its releases 7.3.x, which the wheels on the index are for, and of
# 8.0, the first with Python 3.12.
_PYPY_ABI, _PYPY_ABI_SINCE_312 = "pp73", "pp80"
# The ABI of GraalPy's C API by Python, named after the first GraalPy that had it: of 3.11 that of its
# last release, 24.2; 25.0 to 25.2 share one, and 25.3 and later the next (pypa/cibuildwheel's
# build-platforms.toml of 4.3, its issue 2973, and pypa/manylinux's python_versions.json).
_GRAALPY_ABIS = {(3, 10): "240", (3, 11): "242", (3, 12): "250", (3, 13): "253"}


class Implementation(str, enum.Enum):
    """An implementation of Python, by its abbreviation in interpreter tags (PEP 425)."""

    CPYTHON = "cp"
    PYPY = "pp"
    GRAALPY = "graalpy"

    @property
    def full_name(self) -> str:
        """Its makers' name, which `sys.implementation.name` has in small letters."""
        return {"cp": "CPython", "pp": "PyPy"}.get(self.value, "GraalPy")

    @property
    def in_markers(self) -> str:
        """The name that `platform.python_implementation()` gives."""
        return "GraalVM" if self is Implementation.GRAALPY else self.full_name


@dataclass(frozen=True, slots=True, order=True)
class PythonVersion:
    """A feature release of an implementation, such as CPython 3.14, with or without the GIL.

    They are ordered by release, then by implementation (CPython first, by its tag), then with the GIL
    before without.
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
        """The identifier that cibuildwheel has for it: `cp311`, `cp314t`, `pp311`, `gp312_250`."""
        if self.implementation is Implementation.GRAALPY:
            known = _GRAALPY_ABIS.get(self.release)
            return f"gp{self.major}{self.minor}{f'_{known}' if known else ''}"
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
        """The usual ABI tag of extension modules: `cp37m`, `cp314t`, `pypy311_pp73`.

        GraalPy's are as `graalpy250_312_native`; without a number, as before GraalPy 23, where none is
        known.
        """
        if self.implementation is Implementation.GRAALPY:
            return f"graalpy{_GRAALPY_ABIS.get(self.release, '')}_{self.major}{self.minor}_native"
        if self.implementation is Implementation.PYPY:
            later = self.release >= _FIRST_OF_PYPY_8
            return f"pypy{self.major}{self.minor}_{_PYPY_ABI_SINCE_312 if later else _PYPY_ABI}"
        return f"{self.id}{'m' * (self.release < _FIRST_WITHOUT_M)}"

    @property
    def title(self) -> str:
        """What people call it: `Python 3.11`, `free-threaded Python 3.14`, `PyPy 3.11`."""
        if self.implementation is not Implementation.CPYTHON:
            return f"{self.implementation.full_name} {self.dotted}"
        return f"{'free-threaded ' * self.free_threaded}Python {self.dotted}"

    def __str__(self) -> str:
        """As in ids."""
        return self.id


_KINDS = {"pp": Implementation.PYPY, "pypy": Implementation.PYPY}
_KINDS |= dict.fromkeys(("gp", "graalpy"), Implementation.GRAALPY)


def parse_python(text: str, *, where: str = "") -> PythonVersion:
    """Read `cp311`, `3.11`, `cp314t`, `3.14t`, `pp311`, `pypy3.11`, `gp312_250` or `graalpy3.12`.

    Raises UsageError for others.
    """
    word, place = text.strip(), f"{where}: " if where else ""
    match = _IDENTIFIER.fullmatch(word) or _VERSION.fullmatch(word)
    if match is None:
        raise UsageError(
            f"{place}{text!r} is not a Python version",
            remedy="write it as cp311 or 3.11, cp314t for a free-threaded one, pp311 for PyPy, "
            "gp312 for GraalPy",
        )
    release = int(match["major"]), int(match["minor"])
    implementation = _KINDS.get(match["kind"], Implementation.CPYTHON)
    if match["threads"] and (
        implementation is not Implementation.CPYTHON or release < _FIRST_FREE_THREADED
    ):
        raise UsageError(
            f"{place}there is no free-threaded Python {text!r}",
            why="CPython has free-threaded builds since 3.13 (PEP 703)",
            remedy="leave the t out, or take cp313t or later",
        )
    version = PythonVersion(*release, implementation, bool(match["threads"]))
    if match["abi"] and version.id != f"gp{version.major}{version.minor}_{match['abi']}":
        raise UsageError(
            f"{place}{text!r} names an ABI that is not tried",
            why=f"{version.title} is tried as {version.id}",
            remedy=f"write {version.id}",
        )
    return version
