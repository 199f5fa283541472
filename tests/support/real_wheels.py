"""The real wheels that verdicts are held against (`tests/data/real-wheels.txt`), and a file of results.

Each line of the list is a SHA-256 digest and a file name. Wheels are downloaded once, with this
machine's own pip settings, and kept; what was found of a wheel on a target is written down as it comes,
so that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.wheel_tags import platform_tags

DATA = Path(__file__).parents[1] / "data"
LIST = DATA / "real-wheels.txt"
MUSL_LIST = DATA / "musl-wheels.txt"


@dataclass(frozen=True, kw_only=True)
class ListedWheel:
    """A wheel of the index: its name and its bytes."""

    sha256: str
    filename: str

    @property
    def project(self) -> str:
        """The project's normalized name."""
        return parse_wheel_filename(self.filename)[0]

    def is_for(self, target: Target) -> bool:
        """Whether one of its tags is among those of the target's Python and libc."""
        version = target.interpreter.version.release
        platforms = platform_tags(target.distro.libc, target.arch)
        taken = {*cpython_tags(version, platforms=platforms)}
        taken |= {*compatible_tags(version, f"cp{version[0]}{version[1]}", platforms)}
        return not taken.isdisjoint(parse_wheel_filename(self.filename)[3])

    def downloaded(self, folder: Path) -> Path:
        """The file below `folder`, from this machine's own index if it is not there yet."""
        path = folder / self.sha256 / self.filename
        if not path.is_file():
            download_wheel(self.filename, path.parent)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == self.sha256, f"{path} is not the file of the list"
        return path


def download_wheel(filename: str, folder: Path) -> None:
    """Get the file of exactly this name, from this machine's own index."""
    project, version, *_, python, abi, platform = filename.removesuffix(".whl").split("-")
    match = re.fullmatch(r"([a-z]+)(\d)(\d*)", python.rpartition(".")[2])
    assert match is not None, filename
    words = [f"--implementation={match[1]}", f"--python-version={match[2]}{match[3]}"]
    words += [f"--abi={one}" for one in abi.split(".")]
    words += [f"--platform={one}" for one in platform.split(".")]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--dest", str(folder), *words, f"{project}=={version}"]
    subprocess.run(command, check=True, capture_output=True)
    there = sorted(path.name for path in folder.iterdir())
    assert filename in there, f"the index has {there}, not {filename}"


def listed_wheels(projects: Collection[str] = (), path: Path = LIST) -> Iterator[ListedWheel]:
    """What the list has; only of some projects, by their normalized names, if there are any."""
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            digest, filename = line.split()
            wheel = ListedWheel(sha256=digest, filename=filename)
            if not projects or wheel.project in projects:
                yield wheel


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A wheel on a target: what was seen by hand, and what our verdict was.

    `wrong` is what went wrong by hand, empty if the wheel works; `image` is the digest of the root.
    `outcome` and `prediction` are words of `model.verdict`; `prediction` is empty where a trial showed
    nothing. `errors` are the findings that decided, name and message, `others` all other findings with
    their evidence, `reason` is the sentence for people.
    """

    sha256: str
    wheel: str
    target: str
    image: str
    wrong: str
    outcome: str
    prediction: str = ""
    errors: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_false(self) -> bool:
        """Whether the verdict says the opposite of what was seen by hand."""
        return self.outcome == ("portable" if self.wrong else "not-portable")

    def __str__(self) -> str:
        mark = "!" if self.is_false else "?" if self.outcome == "not-proven" else "="
        by_hand = f"fails: {self.wrong}" if self.wrong else "works"
        words = "; ".join(self.errors) or self.reason
        told = f"{self.outcome} ({words})" if words else self.outcome
        wrong = [line for line in self.others if line.startswith("prediction-wrong")]
        return "\n    ".join([f"{mark} {self.target}: {self.wheel}: {told}; by hand {by_hand}", *wrong])


class Results:
    """Cells in a file, a line of JSON each; the last line of a wheel on a target counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cells: dict[tuple[str, str], Cell] = {}
        if path.is_file():
            for line in path.read_text("utf-8").splitlines():
                self._keep(_read(json.loads(line)))

    def _keep(self, cell: Cell) -> None:
        self._cells[cell.sha256, cell.target] = cell

    def of(self, wheel: ListedWheel, target: Target) -> Cell | None:
        """What is known of a wheel on a target."""
        return self._cells.get((wheel.sha256, target.id))

    def add(self, cell: Cell) -> None:
        """Write a cell down."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cell)) + "\n")
        self._keep(cell)


def _read(words: dict[str, Any]) -> Cell:
    lists = {name: tuple(words.get(name, ())) for name in ("errors", "others")}
    return Cell(**{**words, **lists})
