"""Every check there is: those of the modules of the package `checks`, and those that plugins bring."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from pytest_manylinux.diagnose import checks as package
from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.errors import UsageError, nearest
from pytest_manylinux.model.verdict import Finding, Severity


@cache
def own_checks() -> tuple[Check, ...]:
    """The checks of pytest-manylinux itself, sorted by code."""
    modules = (import_module(f"{package.__name__}.{m.name}") for m in iter_modules(package.__path__))
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Check)]
    return tuple(sorted(found, key=lambda check: check.code))


_added: list[tuple[Check, ...]] = [()]


@contextmanager
def added_checks(checks: Sequence[Check]) -> Iterator[None]:
    """Have checks of others run too, in the place of those that were added before."""
    _added.append(tuple(sorted(checks, key=lambda check: check.code)))
    _by_word.cache_clear()
    try:
        yield
    finally:
        _added.pop()
        _by_word.cache_clear()


def checks() -> tuple[Check, ...]:
    """All checks: our own by code, then those that were added."""
    return own_checks() + _added[-1]


def added_version() -> str:
    """A digest of the files that the added checks are from; empty without any."""
    digest = hashlib.sha256()
    for check in _added[-1]:
        for function in (check.wheel, check.static, check.dynamic, check.audit):
            file = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
            if file is not None:
                digest.update(f"{check.code} {Path(file).name}".encode() + Path(file).read_bytes())
    return digest.hexdigest() if _added[-1] else ""


@cache
def _by_word() -> dict[str, Check]:
    by_code = {check.code.lower(): check for check in checks()}
    return {**by_code, **{check.name: check for check in checks()}}


def find_check(word: str) -> Check:
    """Find a check by code (`ML105`) or name (`missing-library`); case does not matter.

    Raises UsageError with the nearest right word.
    """
    check = _by_word().get(word.strip().lower().replace("_", "-"))
    if check is None:
        hint = nearest(word.strip().lower(), _by_word())
        raise UsageError(
            f"no finding is called {word!r}", remedy=f"{hint}`pytest-manylinux explain` lists them all"
        )
    return check


def make_finding(
    name: str,
    message: str,
    *,
    evidence: Sequence[str] = (),
    severity: Severity | None = None,
    remedy: str = "",
    files: Sequence[str] = (),
) -> Finding:
    """Make a finding by its check's name, for those who hold a name only (a failed build).

    Raises UsageError for a name that no check has.
    """
    check = find_check(name)
    return check.finding(message, evidence=evidence, severity=severity, remedy=remedy, files=files)
