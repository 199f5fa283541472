"""What a start of pytest costs with the plugin there but unused, and what collecting many trials costs.

    python benchmarks/collection.py [--rounds 11] [--before PYTHON]

First `pytest` on an empty folder, with the plugin and with `-p no:manylinux`, and `pytest --manylinux`
there, with the build of another Python if one is named, in turns: medians of wall clock. Then
`pytest --manylinux --collect-only` on folders of wheels (planning reads names only, so they are empty
files) whose trials are wheels x targets: seconds, and memory at most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from figures import Part, Row, Spent, in_turns, progress, spent

from pytest_manylinux.catalogue import load_catalogue

BARE = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
SIZES = ((1, 20), (10, 20), (100, 20), (1000, 20), (1000, 5), (1000, 1))


def start_up(rounds: int, *, before: str = "") -> list[Part]:
    """What the plugin adds to a start of pytest, and what a run's start costs before its first item.

    `before` is the Python of another build, measured in turns with this one.
    """
    progress("start-up")
    return [_unused(rounds), _wanted(rounds, before)]


def _unused(rounds: int) -> Part:
    with tempfile.TemporaryDirectory() as name:
        ways = {
            "without the plugin": (*BARE, "-p", "no:manylinux"),
            "with the plugin, unused": BARE,
        }
        cells = {
            what: lambda words=words: spent([sys.executable, *words], folder=Path(name)).clock
            for what, words in ways.items()
        }
        rows = in_turns(cells, rounds)
    extra = (rows[1].value - rows[0].value) * 1000
    return Part(
        title="`pytest` in an empty folder",
        rows=rows,
        base="without the plugin",
        asked="under 15 ms more",
        note=f"The plugin adds {extra:.1f} ms.",
    )


def _wanted(rounds: int, before: str) -> Part:
    builds = {"before": before, "now": sys.executable} if before else {"now": sys.executable}
    words = (*BARE, "--manylinux", "--collect-only")
    with tempfile.TemporaryDirectory() as name:
        ways = {"pytest alone": (sys.executable, *BARE, "-p", "no:manylinux")}
        ways |= {f"--manylinux, {word}": (python, *words) for word, python in builds.items()}
        cells = {
            what: lambda argv=argv: spent(list(argv), folder=Path(name)).clock
            for what, argv in ways.items()
        }
        rows = in_turns(cells, rounds)
    return Part(
        title="`pytest --manylinux --collect-only` in an empty folder", rows=rows, base="pytest alone"
    )


def distros(count: int) -> list[str]:
    """So many distros of the catalogue with one Python each."""
    found = [
        distro.id
        for distro in load_catalogue().distros
        if "x86_64" in distro.architectures and len(distro.interpreters) == 1
    ]
    assert len(found) >= count
    return found[:count]


def collect(wheels: int, targets: int) -> Spent:
    """Collect so many wheels on so many distros."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(wheels):
            Path(name, f"demo{number}-1.0-py3-none-any.whl").touch()
        words = [
            *BARE,
            "--manylinux",
            "--collect-only",
            ".",
            "--manylinux-distros",
            " ".join(distros(targets)),
        ]
        done = spent([sys.executable, *words], folder=Path(name))
    assert f"{wheels * (targets + 1)} tests collected" in done.output, done.output[-500:]
    return done


def growth() -> tuple[Part, Part]:
    """Seconds and memory for each size."""
    progress("collection")
    found = {f"{wheels:,} wheels × {targets}": collect(wheels, targets) for wheels, targets in SIZES}  # noqa: RUF001
    seconds = tuple(Row(name=name, value=done.clock) for name, done in found.items())
    memory = tuple(Row(name=name, value=done.memory) for name, done in found.items())
    return (
        Part(
            title="Collection: wheels × distros (and an audit each)",  # noqa: RUF001
            rows=seconds,
            asked="20,000 trials in under 5 s",
        ),
        Part(title="Collection: memory", rows=memory, unit="MiB", asked="20,000 in at most 80 MiB"),
    )


def main() -> int:
    """Print both; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--before", default="", metavar="PYTHON")
    options = parser.parse_args()
    for part in (*start_up(options.rounds, before=options.before), *growth()):
        print("\n".join((*part.lines(), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
