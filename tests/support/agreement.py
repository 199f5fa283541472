"""Predictions against trials, on wheels from the index; for the suite marked `index`, or by hand:

    python tests/support/agreement.py [PROJECT…]

For each project and each distro the wheel that the distro's Python would get is downloaded with this
machine's own pip settings, predicted with a survey of the distro's image, and then really tried.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.predict import predict_target, surveyed
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.image_survey import Surveys
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Survey, Target
from pytest_manylinux.model.python import Implementation
from pytest_manylinux.model.verdict import Foretold
from pytest_manylinux.model.wheel_tags import platform_tags
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.trial import TrialRequest, run_trial

DISTROS = ("debian-11", "debian-12", "debian-13", "debian-testing")
MUSL = ("musl-1.2.5",)
ARCH = "x86_64"
TIMEOUT = 600.0
PROJECTS = [
    "markupsafe",
    "numpy",
    "lxml",
    "cryptography",
    "pydantic-core",
    "pandas",
    "ruff",
    "pyyaml",
    "pillow",
    "cffi",
    "psutil",
    "aiohttp",
    "orjson",
    "ujson",
    "msgpack",
    "regex",
    "greenlet",
    "sqlalchemy",
    "contourpy",
    "kiwisolver",
    "pyzmq",
    "grpcio",
    "psycopg2-binary",
    "bcrypt",
    "pynacl",
    "zstandard",
    "wrapt",
    "multidict",
    "opencv-python",
    "opencv-python-headless",
    "PyQt5",
    "PySide6-Essentials",
    "mpi4py",
    "ray==1.6.0",  # of the manylinux2010 years, for Python 3.9 only
    "jaxlib",
]


@dataclass(frozen=True)
class Place:
    """A target, its image, and what the image was seen to have."""

    target: Target
    image: Image
    survey: Survey | None


@dataclass(frozen=True)
class Cell:
    """One wheel on one distro: what was foretold, what was seen, and both sides where they differ.

    `prediction` is None where the trial showed neither that it works nor that it fails.
    """

    distro: str
    wheel: str
    foretold: str
    seen: str
    prediction: Foretold | None
    sides: tuple[str, ...] = ()

    def __str__(self) -> str:
        mark = "?" if self.prediction is None else _MARKS[self.prediction]
        words = f"{mark} {self.distro:14} {self.wheel}: predicted {self.foretold}, seen {self.seen}"
        return "\n      ".join([words, *self.sides])


_MARKS = {Foretold.RIGHT: "=", Foretold.UNSURE: "~", Foretold.BEYOND: "~", Foretold.WRONG: "!"}


def places(engine: Engine, words: Sequence[str] = DISTROS, *, every: bool = False) -> Iterator[Place]:
    """The distros, made from the archive if they are not there yet, with their Python.

    With `every` there is a place for each CPython that a distro packages.
    """
    catalogue, store = load_catalogue(), ImageStore()
    images, surveys = ArchiveImages(store, say=print), Surveys(store.root / "surveys")
    for word in words:
        distro = catalogue.get(word)
        for interpreter in distro.interpreters if every else distro.interpreters[:1]:
            if interpreter.version.implementation is Implementation.CPYTHON:
                image = images.provide(distro, ARCH, ImagePurpose.TRIAL, interpreter=interpreter)
                target = Target(distro=distro, arch=ARCH, interpreter=interpreter)
                yield Place(target, image, surveys.of(distro, image, engine))


def download(project: str, target: Target, folder: Path) -> Path | None:
    """The wheel that the target's Python would get; None if the index has none for it."""
    tags = platform_tags(target.distro.libc, target.arch)
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", target.interpreter.version.dotted]
    subprocess.run([*command, *platforms, "-d", str(folder), project], check=False, capture_output=True)
    return next(folder.glob("*.whl"), None)


def compare(wheel: Path, place: Place, engine: Engine, cache: Path) -> Cell:
    """Predict, then try."""
    facts = read_wheel(open_wheel(wheel))
    known = place.target if place.survey is None else surveyed(place.target, place.survey)
    predicted = predict_target(facts, known)
    dependencies = resolve_dependencies(
        facts.wheel, facts, place.target, place.image, engine, cache=cache, timeout=TIMEOUT
    )
    request = TrialRequest(
        wheel=facts.wheel,
        facts=facts,
        target=place.target,
        image=place.image,
        dependencies=dependencies,
        timeout=TIMEOUT,
    )
    seen = run_trial(request, engine)
    verdict = judge(facts, seen, place.target, wheel=facts.wheel, survey=place.survey)
    faults = ", ".join(dict.fromkeys(finding.name for finding in verdict.errors))
    return Cell(
        distro=place.target.distro.id,
        wheel=wheel.name,
        foretold="works" if predicted.works else predicted.errors[0].name,
        seen=" ".join(filter(None, (verdict.outcome.value, faults))),
        prediction=verdict.prediction,
        sides=tuple(
            line for f in verdict.findings if f.name == "prediction-wrong" for line in f.evidence
        ),
    )


def cells(projects: Sequence[str], engine: Engine) -> Iterator[Cell]:
    """A cell for each project and distro that the index has a wheel for; wheels are not kept."""
    here = list(places(engine))
    with tempfile.TemporaryDirectory() as cache:
        for project in projects:
            for place in here:
                with tempfile.TemporaryDirectory() as folder:
                    wheel = download(project, place.target, Path(folder))
                    if wheel is None:
                        continue
                    try:
                        yield compare(wheel, place, engine, Path(cache))
                    except ManylinuxError as error:
                        distro = place.target.distro.id
                        yield Cell(distro, wheel.name, "", f"not-proven: {error.what}", None)


def main(projects: list[str]) -> int:
    """Print a line for each cell and the counts; exit code 1 if any disagree."""
    found: list[Cell] = []
    for cell in cells(projects or PROJECTS, select_engine("auto", say=print)):
        found.append(cell)
        print(cell, flush=True)
    print(summary(found))
    return int(any(cell.prediction is Foretold.WRONG for cell in found))


def summary(found: Sequence[Cell]) -> str:
    """The counts in a line."""
    counts = Counter(cell.prediction for cell in found)
    right, wrong, unsure, beyond = (
        counts[how] for how in (Foretold.RIGHT, Foretold.WRONG, Foretold.UNSURE, Foretold.BEYOND)
    )
    return (
        f"{right} of {right + wrong} predictions agree with the trial;"
        f" {unsure} faults foretold as possible, {beyond} faults that no file shows,"
        f" {counts[None]} trials that proved nothing"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
