"""The isolated environment of a build with its toolchain: made once a day, then laid out from a file.

Builds with the same requirements, interpreter, toolchain and index need the same one, whatever they
build. It is packed before any of the project's code runs, and its making uses no cache that a project's
builds have written: so nothing of a project gets into another's environment.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from pytest_manylinux.building.api import USUAL, BuildRequest, Toolchain
from pytest_manylinux.building.project import Project
from pytest_manylinux.cache.directories import is_recent, make_once
from pytest_manylinux.cache.integrity import is_whole
from pytest_manylinux.cache.least_recently_used import entries, remove_surplus
from pytest_manylinux.cache.values import code_version, key_of
from pytest_manylinux.engines.api import SCRATCH, Sandbox
from pytest_manylinux.errors import SandboxError, StoreError
from pytest_manylinux.indexes import MAX_AGE, IndexAccess

if TYPE_CHECKING:
    from pytest_manylinux.building.frontend import FrontEnd

LIMIT = 2 * 1024**3  # bytes: setuptools alone comes to 10 MB, numpy with Cython to 100
_SPARED = 3600.0  # a build that has just taken one may still be reading it
_NAME = "environment.tar"
_PACKED = SCRATCH / _NAME
_STARTED = time.time()


class _NoRoomError(Exception):
    """The environment is there, but its packed form does not fit into the sandbox beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEnvironments:
    """Packed environments below `root`, by what decides them. `fresh` takes none of an earlier run."""

    root: Path
    fresh: bool = False

    def lay_out(self, key: str, front_end: FrontEnd, requires: tuple[str, ...]) -> None:
        """Have environment, toolchain and `requires` in the sandbox, made there or found below `root`.

        What is made serves this build whether or not it can be kept. Raises what making it raises
        (`FrontEnd.make_environment`, `install`), and StoreError for a cache that cannot be used.
        """
        steps, made = front_end.steps, False
        asked = time.monotonic()

        def make(folder: Path) -> None:
            nonlocal made
            steps.add_time(time.monotonic() - asked)  # another build may have been making it
            once = front_end.apart()
            once.make_environment()
            once.install(requires)
            made = True
            if not once.pack(_PACKED):
                raise _NoRoomError
            _take_out(steps.sandbox, folder)

        try:
            kept = make_once(
                self.root / key,
                make,
                usable=self._is_usable,
                doing=f"the environment of a build cannot be kept in {self.root}",
            )
        except (_NoRoomError, StoreError):
            if not made:
                raise
        else:
            if made:
                self._prune()
            else:
                steps.add_time(time.monotonic() - asked)
                steps.sandbox.copy_in(kept / _NAME, _PACKED)
                front_end.unpack_environment(_PACKED)
        front_end.warm_up()

    def _is_usable(self, folder: Path) -> bool:
        if self.fresh and folder.is_dir() and folder.stat().st_mtime < _STARTED:
            return False
        return is_recent(folder, MAX_AGE) and is_whole(folder)

    def _prune(self) -> None:
        with contextlib.suppress(OSError):
            kept = (path.parent for path in self.root.glob(f"*/{_NAME}"))
            remove_surplus(entries(kept), max_size=LIMIT, max_age=2 * MAX_AGE, spared=_SPARED)


def _take_out(sandbox: Sandbox, folder: Path) -> None:
    try:
        sandbox.copy_out(_PACKED, folder / _NAME)
    except SandboxError as error:
        raise _NoRoomError from error


def environment_key(
    request: BuildRequest, project: Project, toolchain: Toolchain, index: IndexAccess
) -> str:
    """A hexadecimal SHA-256 over what decides a build's environment; empty where it is its own.

    That is so where the user's commands run before the requirements are installed, where wheels of the
    same run stand for some, where one has an address of its own, whose content may change at any time,
    and in surroundings that are to differ.
    """
    own = request.before_build or request.siblings or request.surroundings != USUAL
    if own or any(map(_has_address, project.build_requires)):
        return ""
    return key_of(
        code_version("building", "building.inside"),
        request.image.content,
        request.python.id,
        request.arch,
        str(toolchain.policy),
        sorted(toolchain.versions),
        sorted(toolchain.environment.items()),
        sorted(toolchain.set_up_environment.items()),
        sorted(project.build_requires),
        index.identity,
    )


def _has_address(requirement: str) -> bool:
    try:
        return Requirement(requirement).url is not None
    except InvalidRequirement:
        return True  # for pip to say
