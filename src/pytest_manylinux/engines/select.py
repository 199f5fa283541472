"""Which engine a run uses."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Mapping

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import EngineError, UsageError


class EngineName(enum.Enum):
    """The engines, in the order in which `auto` asks them.

    bubblewrap first: it needs no daemon, and starts a sandbox in a tenth of a container's time.
    """

    BUBBLEWRAP = "bubblewrap"
    DOCKER = "docker"
    PODMAN = "podman"


def select_engine(
    choice: str,
    *,
    say: Callable[[str], None] = lambda _: None,
    others: Mapping[str, Callable[[], Engine]] | None = None,
) -> Engine:
    """The engine named `choice`, or for `auto` the first that answers; `say` is told which and why.

    `others` are those of plugins, by name.

    Raises UsageError for another word, EngineError if the engine (with `auto`: every one) does not
    answer, with the cure.
    """
    if others and choice in others:
        return _opened(choice, others[choice])
    if choice != "auto":
        return _start(_parse(choice))
    reasons = []
    for name in EngineName:
        try:
            engine = _start(name)
        except EngineError as error:
            reasons.append(error)
        else:
            before = ", ".join(f"{reason.what}: {reason.why}" for reason in reasons)
            say(f"engine {engine.name}{f' ({before})' if before else ''}")
            return engine
    raise EngineError(
        "no engine answers on this machine",
        why="; ".join(f"{reason.what}: {reason.why}" for reason in reasons),
        remedy=reasons[0].remedy,
    )


def _opened(name: str, start: Callable[[], Engine]) -> Engine:
    engine = start()
    if engine.name != name:
        engine.close()
        raise UsageError(
            f"the engine of a plugin called {name!r} calls itself {engine.name!r}",
            remedy="have both names the same: reports and memories go by the engine's own",
        )
    return engine


def _parse(choice: str) -> EngineName:
    try:
        return EngineName(choice)
    except ValueError:
        words = ["auto", *(name.value for name in EngineName)]
        near = difflib.get_close_matches(choice, words, n=1)
        hint = f"perhaps you meant {near[0]!r}; " if near else ""
        raise UsageError(
            f"{choice!r} is no engine", remedy=f"{hint}use one of {', '.join(words)}"
        ) from None


def _start(name: EngineName) -> Engine:
    match name:
        case EngineName.BUBBLEWRAP:
            from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine  # noqa: PLC0415 - its own start-up cost only

            return BubblewrapEngine()
        case EngineName.DOCKER:
            from pytest_manylinux.engines.container.engine import open_docker  # noqa: PLC0415 - the same

            return open_docker()
        case EngineName.PODMAN:
            from pytest_manylinux.engines.container.engine import open_podman  # noqa: PLC0415 - the same

            return open_podman()
