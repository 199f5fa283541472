"""Hooks for other plugins: checks, engines and toolchains of their own, and each verdict as it comes.

A plugin, or a `conftest.py`, implements those that it wants; docs/how-to/write-a-plugin.md has an
example of each. They are called with `--manylinux` only, the first three once, when a session starts.
What a hook raises ends the session; one error of ours (pytest_manylinux.errors) is shown as its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_manylinux.building.api import MakeToolchain
    from pytest_manylinux.diagnose.api import Check
    from pytest_manylinux.engines.api import Engine
    from pytest_manylinux.model.run import WheelRecord
    from pytest_manylinux.model.verdict import Verdict


@pytest.hookspec
def pytest_manylinux_checks(config: pytest.Config) -> Iterable[Check]:  # type: ignore[empty-body]
    """Give checks to run after those of pytest-manylinux.

    A code must not begin with `ML`; codes and names are used once. `Check.texts` is the folder with
    the text of the finding, NAME.md. A check of an error makes a wheel not portable, as ours do.
    """


@pytest.hookspec
def pytest_manylinux_engines(  # type: ignore[empty-body]
    config: pytest.Config,
) -> Mapping[str, Callable[[], Engine]]:
    """Give engines by name, each with a function that opens it.

    A name has a dot, such as `acme.microvm`, and is the engine's own `name`; `--manylinux-engine` and
    the setting `engine` take it, `auto` does not. Its images are root folders, as bubblewrap's are.
    The function raises EngineError where the engine does not answer.
    """


@pytest.hookspec
def pytest_manylinux_toolchains(  # type: ignore[empty-body]
    config: pytest.Config,
) -> Mapping[str, MakeToolchain]:
    """Give toolchains by name, each with a function that makes its values for a build.

    A name has a dot, such as `acme.gcc`; `--manylinux-builder` and the setting `builder` take it. The
    build is in a Debian root with the headers of the wanted Python. See building/api.py.
    """


@pytest.hookspec
def pytest_manylinux_verdict(
    config: pytest.Config, nodeid: str, verdict: Verdict, wheel: WheelRecord | None
) -> None:
    """Do something with a verdict, once it is certain; called in the main process only.

    `wheel` is None where there is no wheel that can be read. The verdict stays as it is.
    """
