"""The builder interface: one wheel to make, and how it came to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_manylinux.building.project import Project
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.wheel import WheelFacts

Say = Callable[[str], None]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One wheel to make.

    `project` is a folder or an sdist, only read; `known` is what was read of it before (None: it is
    read now). `image` is a root with the headers of `python` and with `build_packages`; `plain` the
    one it was grown from, in which tools are made that all such images share (None: in `image`).
    `before_build` are shell commands that run in the copied source. The build has the host's `network`
    or none; the making of tools has it. `timeout` is seconds for the project's own build, the making
    of tools not counted.
    `cache` is a folder of ours that may be shared by builds at the same time. `log` is overwritten.
    `fresh` builds even if an earlier build of the same source in the same way is remembered.
    """

    project: Path
    known: Project | None = None
    python: PythonVersion
    policy: Policy
    arch: str
    image: Image
    plain: Image | None = None
    wheelhouse: Path
    before_build: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()
    network: bool = True
    timeout: float = 1800.0
    cache: Path
    log: Path
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """The way of a build: what decides in addition to the request and the source.

    `policy` is what the wheel will promise, `index` the identity of the package index.
    """

    builder: str
    policy: str
    tools: Pairs
    index: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """The wheel in the wheelhouse, under its true tags, and how it came to be.

    `facts` are those of the wheel; None where an earlier build's wheel was taken, which was not read.
    """

    wheel: Path
    record: BuildRecord
    facts: WheelFacts | None = None


class Builder(Protocol):
    """A way to make wheels for a policy. `name` is what `--manylinux-builder` takes."""

    @property
    def name(self) -> str:
        """Such as `zig`."""

    def build(self, request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
        """Make the wheel; `say` gets a line for each long step.

        Raises BuildError where the project is at fault (its `finding` says how), ProjectError for a
        project that cannot be built at all, ToolchainError where compiler or tools are not available,
        StoreError for a full or read-only disk and for a wheelhouse that holds a file of the
        wheel's name with other bytes, and what the engine raises.
        """
