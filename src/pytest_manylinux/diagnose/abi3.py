"""What modules for the stable ABI use beyond it, by the data of abi3info (PEP 384, PEP 387, PEP 803).

A symbol counts as Python's if its name begins with Py or _Py, it is undefined in the module and no
other file of the wheel defines it. The same rule is abi3audit's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from packaging.tags import Tag

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.python import PythonVersion, parse_python
from pytest_manylinux.model.wheel import WheelFacts

FREE_THREADED_SINCE = PythonVersion(3, 15)
"""The first Python with a stable ABI for free-threaded builds, abi3t (PEP 803)."""

STABLE_ABIS = frozenset({"abi3", "abi3t"})
"""ABI tags that promise a stable ABI."""

_CP = re.compile(r"cp(?P<major>\d)(?P<minor>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiBreach:
    """A symbol that a module may not use. `since`: when it joined the stable ABI; None if never.

    `exported` is a Python before that which is known to have it all the same. `elsewhere`: only
    Windows or a debug build has it.
    """

    path: str
    symbol: str
    since: PythonVersion | None
    promised: PythonVersion
    exported: PythonVersion | None = None
    elsewhere: bool = False

    def is_missing(self, version: PythonVersion) -> bool:
        """Whether a Python is sure not to have it; of one that never was stable nobody is sure."""
        has = self.exported is not None and self.exported <= version
        late = self.since is not None and self.since > version and not has
        return self.elsewhere or late


@once_per_wheel
def breaches(facts: WheelFacts) -> tuple[AbiBreach, ...]:
    """All breaches of the stable ABI that the wheel's tags promise."""
    promised = _promised(facts)
    if promised is None:
        return ()
    defined = {export.partition("@")[0] for elf in facts.elf for export in elf.exports}
    return tuple(
        breach for elf in facts.elf if elf.exports_init for breach in _of_file(elf, promised, defined)
    )


def _of_file(elf: ElfFacts, promised: PythonVersion, defined: set[str]) -> list[AbiBreach]:
    if ".abi3t" in elf.path.rpartition("/")[2]:  # no older Python looks for such a file
        promised = max(promised, FREE_THREADED_SINCE)
    found = []
    for want in elf.wants:
        if not want.name.startswith(("Py", "_Py")) or want.weak or want.name in defined:
            continue
        since = stable_since().get(want.name)
        if since is None or since > promised:
            early = exported_early().get(want.name)
            found.append(
                AbiBreach(
                    path=elf.path,
                    symbol=want.name,
                    since=since,
                    promised=promised,
                    exported=early,
                    elsewhere=want.name in _stable_elsewhere(),
                )
            )
    return found


def _promised(facts: WheelFacts) -> PythonVersion | None:
    """The oldest Python of the wheel's abi3 and abi3t tags; None if it promises no stable ABI."""
    return min(filter(None, map(_promised_by, facts.wheel.tags)), default=None)


def _promised_by(tag: Tag) -> PythonVersion | None:
    found = _CP.fullmatch(tag.interpreter)
    if found is None or tag.abi not in STABLE_ABIS:
        return None
    version = PythonVersion(int(found["major"]), int(found["minor"]))
    return version if tag.abi == "abi3" else max(version, FREE_THREADED_SINCE)


_NOT_ON_LINUX = frozenset({"MS_WINDOWS", "USE_STACKCHECK", "Py_REF_DEBUG"})
"""Conditions of CPython's manifest of the stable ABI that no release build for Linux meets."""


@cache
def stable_since() -> dict[str, PythonVersion]:
    """Every symbol of the stable ABI on Linux, and the first Python that has it there."""
    return {name: since for name, (since, on_linux) in _manifest().items() if on_linux}


@cache
def _stable_elsewhere() -> frozenset[str]:
    """Symbols that no release build for Linux has; abi3audit 0.0.26 lets them pass."""
    return frozenset(name for name, (_, on_linux) in _manifest().items() if not on_linux)


@cache
def _manifest() -> dict[str, tuple[PythonVersion, bool]]:
    """Each symbol of CPython's manifest: the first Python, and whether Linux has it."""
    # Only wheels for the stable ABI want this table, and it is large.
    from abi3info import DATAS, FUNCTIONS  # noqa: PLC0415

    return {
        symbol.name: (
            PythonVersion(entry.added.major, entry.added.minor),
            entry.ifdef is None or entry.ifdef.name not in _NOT_ON_LINUX,
        )
        for table in (FUNCTIONS, DATAS)
        for symbol, entry in table.items()
    }


@cache
def exported_early() -> dict[str, PythonVersion]:
    """Symbols that a Python exported before they were stable, and that Python (exported-early.txt)."""
    text = (files("pytest_manylinux.diagnose.data") / "exported-early.txt").read_text("utf-8")
    pairs = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: parse_python(version) for name, version in pairs}
