"""Predictions against trials, on wheels from the index.

    python benchmarks/agreement.py [PROJECT…]

For each project and each distro the wheel that the distro's Python would get is downloaded with this
machine's own pip settings, predicted, and then really tried. Printed are every disagreement and the
count. It downloads much and takes long: no test suite runs it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.plan import platform_tags
from pytest_manylinux.prove.dependencies import resolve_dependencies
from pytest_manylinux.prove.trial import TrialRequest, run_trial

DISTROS = ("debian-11", "debian-12", "debian-13", "debian-testing")
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
    "jaxlib==0.1.69",
]


@dataclass(frozen=True)
class Place:
    """A target and its image."""

    target: Target
    image: Image


def places() -> Iterator[Place]:
    """The distros, made from the archive if they are not there yet."""
    catalogue, images = load_catalogue(), ArchiveImages(ImageStore(), say=print)
    for word in DISTROS:
        distro = catalogue.get(word)
        interpreter = distro.interpreters[0]
        image = images.provide(distro, ARCH, ImagePurpose.TRIAL, interpreter=interpreter)
        yield Place(Target(distro=distro, arch=ARCH, interpreter=interpreter), image)


def download(project: str, target: Target, folder: Path) -> Path | None:
    """The wheel that the target's Python would get; None if the index has none for it."""
    tags = platform_tags(target.distro.glibc, target.arch)
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", target.interpreter.version.dotted]
    subprocess.run([*command, *platforms, "-d", str(folder), project], check=False, capture_output=True)
    return next(folder.glob("*.whl"), None)


def compare(wheel: Path, place: Place, engine: Engine, cache: Path) -> tuple[bool, str]:
    """Whether prediction and trial agree, and a line that says how it went."""
    facts = read_wheel(open_wheel(wheel))
    predicted = predict_target(facts, place.target)
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
    verdict = judge(facts, run_trial(request, engine), place.target, wheel=facts.wheel)
    wrong = [f for f in verdict.findings if f.name == "prediction-wrong"]
    told = "works" if predicted.works else predicted.errors[0].name
    words = f"{wheel.name}: predicted {told}, seen {verdict.outcome.value}"
    return not wrong, "\n    ".join([words, *(line for f in wrong for line in f.evidence)])


def main(projects: list[str]) -> int:
    """Print a line for each cell and the count; exit code 1 if any disagree."""
    engine = select_engine("auto", say=print)
    agreed = total = 0
    here = list(places())
    with tempfile.TemporaryDirectory() as cache:
        for project in projects or PROJECTS:
            for place in here:
                with tempfile.TemporaryDirectory() as folder:
                    wheel = download(project, place.target, Path(folder))
                    if wheel is None:
                        continue
                    try:
                        agrees, line = compare(wheel, place, engine, Path(cache))
                    except ManylinuxError as error:
                        print(f"  ? {place.target.distro.id}: {project}: {error.what}")
                        continue
                total, agreed = total + 1, agreed + agrees
                print(f"  {'=' if agrees else '!'} {place.target.distro.id}: {line}", flush=True)
    print(f"{agreed} of {total} predictions agree with the trial")
    return int(agreed < total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
