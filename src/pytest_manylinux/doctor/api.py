"""What a probe finds, and what it all amounts to."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.escape import plain_line, redact


class Health(enum.Enum):
    """How something is: as it should be; lacking, with runs possible all the same; not usable."""

    GOOD = "good"
    LACKING = "lacking"
    BAD = "bad"


class Area(enum.Enum):
    """What a finding is about, in the order in which it is shown."""

    ENGINE = "engine"
    IMAGES = "images"
    CACHE = "cache"
    KERNEL = "kernel"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One line. `remedy` is the exact command, or what else cures it; empty for what is good."""

    area: Area
    name: str
    health: Health
    says: str
    remedy: str = ""


Probe = Callable[[], Iterable[ProbeResult]]


def examine(probes: Sequence[tuple[Area, str, Probe]]) -> tuple[ProbeResult, ...]:
    """Run all probes at once, each on its own; their findings by area, without credentials.

    What a probe raises is a finding too: nobody asks the doctor for a traceback.
    """
    with ThreadPoolExecutor(max_workers=max(len(probes), 1)) as pool:
        found = [
            finding for findings in pool.map(lambda probe: _ask(*probe), probes) for finding in findings
        ]
    order = list(Area)
    return tuple(sorted(_softened(found), key=lambda finding: order.index(finding.area)))


def _softened(found: Sequence[ProbeResult]) -> Iterator[ProbeResult]:
    """An engine that does not answer is only lacking where another one does."""
    answers = any(one.area is Area.ENGINE and one.health is Health.GOOD for one in found)
    for one in found:
        spare = answers and one.area is Area.ENGINE and one.health is Health.BAD
        yield replace(one, health=Health.LACKING) if spare else one


def ready(findings: Iterable[ProbeResult]) -> bool:
    """Whether a run could be made: with some engine, roots from somewhere, and room for them."""
    usable = [finding for finding in findings if finding.health is not Health.BAD]
    return all(any(f.area is area for f in usable) for area in (Area.ENGINE, Area.IMAGES, Area.CACHE))


def one_line(words: str) -> str:
    """The first line of something that may have many, without credentials."""
    lines = redact(words).strip().splitlines()
    return plain_line(lines[0]) if lines else ""


def _ask(area: Area, name: str, probe: Probe) -> list[ProbeResult]:
    try:
        return [_plain(finding) for finding in probe()]
    except ManylinuxError as error:
        says = one_line(f"{error.what}: {error.why}" if error.why else error.what)
        return [_plain(_bad(area, name, says, error.remedy))]
    except Exception as error:  # noqa: BLE001 - a probe that fails says so in its line
        return [_plain(_bad(area, name, f"{type(error).__name__}: {error}", ""))]


def _bad(area: Area, name: str, says: str, remedy: str) -> ProbeResult:
    return ProbeResult(area=area, name=name, health=Health.BAD, says=says, remedy=remedy)


def _plain(finding: ProbeResult) -> ProbeResult:
    return replace(finding, says=one_line(finding.says), remedy=one_line(finding.remedy))
