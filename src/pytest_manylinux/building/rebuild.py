"""Building a wheel a second time in other surroundings, to see what of them shows in it.

What differs: the folder of the source, the machine's name, user and home, umask, locale, time zone,
time, order of the files, number of cores. What is the same: the source and its SOURCE_DATE_EPOCH, the
root with its architecture and compiler, the versions of the build requirements (if not, that is told).
The variations are those of reproducible-builds.org, as far as a sandbox can make them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_manylinux.building.api import Builder, BuildOutcome, BuildRequest, BuildSurroundings, Say
from pytest_manylinux.engines.api import SCRATCH, Engine
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.inspect.wheel_differences import Causes, WheelDifference, wheel_differences

FAKETIME = "libfaketime"
"""The package of Debian that lets a build see another time."""

ELSEWHERE = BuildSurroundings(
    source=SCRATCH / "somewhere" / "else" / "of-another-length",
    hostname="elsewhere",
    elsewhere=True,
    backwards=True,
)
CAUSES: Causes = (
    ("the path of the source", (b"/scratch/source", str(ELSEWHERE.source).encode())),
    ("the user, or the home folder", (b"somebody",)),
    ("the name of the machine", (b"sandbox", b"elsewhere")),
)
"""What a text in a wheel shows that the surroundings have in it, the most telling first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A wheel that was built twice: the first build, and what differs in the second one's wheel.

    `requirements` are build requirements that were not the same both times, a sentence each.
    """

    outcome: BuildOutcome
    differences: tuple[WheelDifference, ...]
    requirements: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What differs, a sentence each."""
        versions = tuple(f"build requirement: {words}" for words in self.requirements)
        return (*map(str, self.differences), *(versions if self.differences else ()))

    @property
    def reproducible(self) -> bool:
        """Whether both wheels are the same, byte for byte."""
        return not self.differences


def compare_with_rebuild(
    first: BuildOutcome, builder: Builder, request: BuildRequest, engine: Engine, *, say: Say
) -> Rebuilt:
    """Build elsewhere what was built already, and compare; raises what `Builder.build` raises."""
    with temporary_folder() as here:
        second = builder.build(_elsewhere(request, here), engine, say=say)
        return Rebuilt(
            outcome=first,
            differences=wheel_differences(first.wheel, second.wheel, causes=CAUSES),
            requirements=tuple(_other_versions(first, second)),
        )


def _elsewhere(request: BuildRequest, folder: Path) -> BuildRequest:
    log = request.log.with_name(f"{request.log.stem}-elsewhere{request.log.suffix}")
    return replace(request, surroundings=ELSEWHERE, wheelhouse=folder / "wheelhouse", log=log)


def _other_versions(first: BuildOutcome, second: BuildOutcome) -> Iterator[str]:
    before, after = dict(first.record.requirements), dict(second.record.requirements)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name} {before.get(name, 'absent')}, then {after.get(name, 'absent')}"
