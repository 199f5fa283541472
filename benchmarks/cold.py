"""From an empty cache to the verdict, beside a build from before and beside unpacking alone."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from figures import Part, Row, Spent, progress, spent
from subjects import DISTROS, SMALL, download

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images.apt import MachineApt

_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--manylinux")
_ONE = "debian-12"
_UNPACKED = ("?essential", "?priority(required)", "apt,python3,python3-pip,python3-venv")


def cold(folder: Path, *, before: str, rounds: int) -> list[Part]:
    """One wheel on one distro, and one for each of four; `before` is the Python of the other build.

    The archive's answers are the machine's own: a mirror nearby, or a cache before it, is part of what
    is measured. What was made is removed when all has been measured: a file system may be at that for
    minutes, and slower.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return _measured(folder, Path(name), before=before, rounds=rounds)


def _measured(folder: Path, place: Path, *, before: str, rounds: int) -> list[Part]:
    wheels = {name: download([SMALL], folder / name, [DISTROS[name]]) for name in DISTROS}
    cells: dict[str, Callable[[], Spent]] = {}
    for count, names in ((1, [_ONE]), (len(DISTROS), list(DISTROS))):
        chosen = [str(wheel) for name in names for wheel in wheels[name]]
        for word, python in (("before", before), ("now", sys.executable)):
            if python:
                cells[f"{count} on {count}, {word}"] = _from_nothing(place, python, names, chosen)
    cells["mmdebstrap --variant=extract"] = partial(_extract, place)
    seen: dict[str, list[Spent]] = {name: [] for name in cells}
    for number in range(rounds):
        for name, cell in cells.items():
            progress(f"cold: {name}, {number + 1} of {rounds}")
            seen[name].append(cell())
    return [
        _part("clock", {name: [one.clock for one in all_] for name, all_ in seen.items()}),
        _part("processor", {name: [one.processor for one in all_] for name, all_ in seen.items()}),
    ]


def _part(what: str, seen: dict[str, list[float]]) -> Part:
    rows = [
        Row(name=name, value=statistics.median(times), rounds=len(times))
        for name, times in seen.items()
    ]
    title = f"From an empty cache to the verdicts, wheels on Debians: seconds by the {what}"
    return Part(title=title, rows=tuple(rows), base=rows[0].name)


def _from_nothing(
    place: Path, python: str, distros: list[str], wheels: list[str]
) -> Callable[[], Spent]:
    def run() -> Spent:
        name = tempfile.mkdtemp(dir=place)
        words = [python, *_PYTEST, "--manylinux-engine=bubblewrap"]
        words += [f"--manylinux-distros={' '.join(distros)}", *wheels]
        done = spent(words, folder=Path(name), PYTEST_MANYLINUX_CACHE=f"{name}/cache")
        if done.code:
            raise SystemExit(f"the run is not green:\n{done.output[-3000:]}")
        return done

    return run


def _extract(place: Path) -> Spent:
    """The same packages as of the one distro, fetched and unpacked and no more."""
    archive = load_catalogue().get(_ONE).archive
    assert archive is not None
    root = f"{tempfile.mkdtemp(dir=place)}/root"
    words = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=directory"]
    words += [f"--include={pattern}" for pattern in _UNPACKED]
    return spent([*words, archive.suite, root, *MachineApt().sources(archive)])
