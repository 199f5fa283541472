"""An example of a plugin: a check, an engine, a toolchain of its own, and a line for each verdict.

Docs and tests use it: docs/how-to/write-a-plugin.md shows these lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_manylinux.building.api import BuildRequest, MakeToolchain, Say, Toolchain
from pytest_manylinux.building.zig import zig_toolchain
from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.run import WheelRecord
from pytest_manylinux.model.verdict import Finding, Severity, Verdict
from pytest_manylinux.model.wheel import WheelFacts


def unknown_licence(facts: WheelFacts) -> Iterator[Finding]:
    """Find wheels without a licence file."""
    if not any("licen" in path.lower() for path in facts.files):
        yield LICENCE.finding("no file of the wheel is a licence")


LICENCE = Check(
    code="AC101",
    name="acme-no-licence",
    severity=Severity.ERROR,
    texts=Path(__file__).with_name("acme_texts"),
    wheel=unknown_licence,
)


class QuietEngine(BubblewrapEngine):
    """bubblewrap by another name."""

    name = "acme.quiet"


def marked_toolchain(request: BuildRequest, engine: Engine, index: IndexAccess, say: Say) -> Toolchain:
    """zig's toolchain with a macro that the sources see."""
    zig = zig_toolchain(request, engine, index, say)
    return replace(zig, environment={**zig.environment, "CPPFLAGS": "-DACME=1"})


def pytest_manylinux_checks(config: pytest.Config) -> Iterable[Check]:
    """Have every wheel's licence looked for."""
    del config
    return [LICENCE]


def pytest_manylinux_engines(config: pytest.Config) -> Mapping[str, type[QuietEngine]]:
    """Offer the engine as --manylinux-engine=acme.quiet."""
    del config
    return {QuietEngine.name: QuietEngine}


def pytest_manylinux_toolchains(config: pytest.Config) -> Mapping[str, MakeToolchain]:
    """Offer the toolchain as --manylinux-builder=acme.marked."""
    del config
    return {"acme.marked": marked_toolchain}


def pytest_manylinux_verdict(
    config: pytest.Config, nodeid: str, verdict: Verdict, wheel: WheelRecord | None
) -> None:
    """Add a line to a file."""
    name = "no wheel" if wheel is None else wheel.file
    with (config.rootpath / "verdicts.txt").open("a") as file:
        file.write(f"{nodeid}: {name}: {verdict.outcome.value}\n")
