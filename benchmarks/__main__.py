"""All benchmarks by one command, side by side in one run: a page with tables, and a picture.

    python benchmarks [PART…] [--folder reports/bench] [--page FILE] [--picture FILE] [--without-docker]

Parts: trials, suites, libcs, cold, whole, samples, builds, predict, release, start, growth, large,
cluster, images, disk, emulated; without any, all of them, which takes an hour, and large and emulated
one more each. `cold`, `start` and `large` have a build from before beside them where --before names its
Python. Wheels, the builder image and the last figures of each part are kept in the folder,
and page and picture have them all. Wants what the test suite wants, and the dependency group `bench`
(`make bench` sees to both). Run it on a machine that does nothing else: ratios hold on a busy one too,
limits in seconds do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from builds import builds
from cold import cold
from collection import growth, start_up
from emulated import emulated
from figures import Part, machine, picture
from images import disk, images
from kept import Measured, days, load, measured, save
from large import large
from own_tests import beside_the_suite
from predict import predictions, release
from runs import cluster, samples, whole
from subjects import LARGE, MUSLLINUX, SMALL, download
from trials import beside_the_naive_way, on_both_libcs

HERE = Path(__file__).parents[1]
HUGE = "vtk"
Measure = Callable[[argparse.Namespace], Sequence[Part]]


def _trials(options: argparse.Namespace) -> Sequence[Part]:
    wheels = download([SMALL, LARGE], options.folder / "two", ["3.11"])
    return beside_the_naive_way(wheels, rounds=options.rounds, docker=not options.without_docker)


def _libcs(options: argparse.Namespace) -> Sequence[Part]:
    pairs = zip(
        download([SMALL, LARGE], options.folder / "glibc", ["3.13"]),
        download([SMALL, LARGE], options.folder / "musl", ["3.13"], MUSLLINUX),
        strict=True,
    )
    return [on_both_libcs(*pair, rounds=options.rounds) for pair in pairs]


def _predictions(options: argparse.Namespace) -> Sequence[Part]:
    wheels = download([LARGE, HUGE], options.folder / "large", ["3.11"])
    return [predictions(wheels)]


PARTS: dict[str, Measure] = {
    "trials": _trials,
    "suites": lambda options: beside_the_suite(rounds=options.rounds),
    "libcs": _libcs,
    "cold": lambda options: cold(options.folder, before=options.before, rounds=options.rounds),
    "whole": lambda options: [whole(options.folder, docker=not options.without_docker)],
    "samples": lambda _: [samples()],
    "builds": lambda options: builds(options.folder, rounds=options.rounds),
    "predict": _predictions,
    "release": lambda _: release(),
    "start": lambda options: start_up(8 * options.rounds, before=options.before),
    "growth": lambda _: growth(),
    "large": lambda options: large(options.folder, before=options.before),
    "cluster": lambda options: [cluster(options.folder)],
    "images": lambda options: (
        [] if options.without_docker else images(options.folder, rounds=options.rounds)
    ),
    "disk": lambda options: [] if options.without_docker else [disk()],
    "emulated": lambda options: emulated(options.folder),
}


def page(kept: Sequence[Measured], shown: Path, target: Path) -> str:
    """The page of figures."""
    lines = ["# Figures", "", "By `make bench`, what stands in one table side by side in one run, on"]
    lines += [f"{machine()}, {days(kept)}. Medians; the way of measuring stands in"]
    lines += ["[benchmarks/](../../benchmarks), what makes the difference in [speed](speed.md).", ""]
    lines += [f"![The same figures as bars]({_relative(shown, target.parent)})"]
    for part in (part for item in kept for part in item.parts):
        lines += ["", *part.lines()]
    return "\n".join(lines) + "\n"


def _relative(path: Path, folder: Path) -> str:
    """From a folder of the documentation to another."""
    return f"../{path.parent.name}/{path.name}" if path.parent.parent == folder.parent else str(path)


def main() -> int:
    """Measure, print, write; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--folder", type=Path, default=HERE / "reports/bench")
    parser.add_argument("--page", type=Path, default=HERE / "reports/bench/figures.md")
    parser.add_argument("--picture", type=Path, default=HERE / "reports/bench/figures.svg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", default="", metavar="PYTHON")
    parser.add_argument("--without-docker", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))} (there are: {', '.join(PARTS)})")
    notes = options.folder / "parts.json"
    for name in options.parts or PARTS:
        found = measured(PARTS[name](options))
        print("\n\n".join("\n".join(part.lines()) for part in found.parts), end="\n\n", flush=True)
        save(notes, load(notes) | {name: found})
    kept = load(notes)
    shown = [kept[name] for name in PARTS if name in kept]
    picture([part for item in shown for part in item.parts], options.picture)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(shown, options.picture, options.page), encoding="utf-8")
    print(f"page     {options.page}\npicture  {options.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
