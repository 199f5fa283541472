"""What other plugins add to a run: see hookspecs.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from pytest_manylinux.building.api import MakeToolchain
from pytest_manylinux.config.keys import is_foreign
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.diagnose.check_registry import own_checks
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import UsageError

_T = TypeVar("_T")
_OURS = re.compile(r"ML\d", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """Checks, and engines and toolchains by name."""

    checks: tuple[Check, ...] = ()
    engines: Mapping[str, Callable[[], Engine]] = field(default_factory=dict)
    toolchains: Mapping[str, MakeToolchain] = field(default_factory=dict)

    def require(self, settings: Settings) -> None:
        """Raise UsageError for an engine or a toolchain of a plugin that there is not."""
        for setting, known in (("engine", self.engines), ("builder", self.toolchains)):
            name = getattr(settings, setting)
            if is_foreign(name) and name not in known:
                there = f"there are {', '.join(sorted(known))}" if known else "no plugin gives any"
                raise UsageError(
                    f"{settings.source(setting)}: no plugin gives the {setting} {name!r}",
                    why=there,
                    remedy="install the plugin that has it, or see that pytest loads it (-p NAME)",
                )


def gather(config: pytest.Config) -> Extensions:
    """Call the hooks; raises UsageError for what cannot be used."""
    hook = config.hook
    return Extensions(
        checks=_checks(hook.pytest_manylinux_checks(config=config)),
        engines=_named("engine", hook.pytest_manylinux_engines(config=config)),
        toolchains=_named("toolchain", hook.pytest_manylinux_toolchains(config=config)),
    )


def _checks(answers: Iterable[Iterable[Check]]) -> tuple[Check, ...]:
    found = tuple(check for answer in answers for check in answer)
    if wrong := next((check for check in found if not isinstance(check, Check)), None):
        raise UsageError(
            f"a plugin gives {wrong!r} as a check", remedy="give pytest_manylinux.diagnose.api.Check"
        )
    for check in found:
        if _OURS.match(check.code):
            raise UsageError(
                f"a plugin's check has the code {check.code}",
                why="codes that begin with ML are those of pytest-manylinux",
                remedy="begin it with letters of your own",
            )
    counts = Counter(word.lower() for c in (*own_checks(), *found) for word in {c.code, c.name})
    if twice := sorted(word for word, count in counts.items() if count > 1):
        raise UsageError(f"several checks are called {', '.join(twice)}", remedy="rename the plugin's")
    return found


def _named(what: str, answers: Iterable[Mapping[str, _T]]) -> Mapping[str, _T]:
    found: dict[str, _T] = {}
    for answer in answers:
        for name, value in answer.items():
            if not is_foreign(name):
                raise UsageError(
                    f"a plugin calls its {what} {name!r}",
                    remedy="its name needs a dot, as in acme.mine: lower-case letters, digits, - and _",
                )
            if name in found:
                raise UsageError(
                    f"two plugins give the {what} {name!r}", remedy="leave one of them out"
                )
            found[name] = value
    return found
