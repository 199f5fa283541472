"""The lock that CI installs by: made with uv, checked against pyproject.toml.

    python tools/lock.py check              whether it holds what pyproject.toml asks for
    python tools/lock.py make [--upgrade]   made anew; what is pinned stays without --upgrade

The files below .ci/lock are requirements files: names, versions, markers and sha256 digests for every
Python that is supported, and no address. pip refuses what has another digest. Each digest is one that
the index said when the lock was made. Wants packaging and, to make it, uv.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".ci/lock"
PROJECT = "project"  # its dependencies and all its extras, beside the groups
LOCKED: dict[str, tuple[str, ...]] = {
    "tests.txt": (PROJECT, "test", "lint"),
    "tox.txt": ("tox",),
    "audit.txt": ("audit",),
    "docs.txt": ("docs",),
}
_CLASSIFIER = "Programming Language :: Python :: 3."
_DIGEST = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One entry of a lock: exactly one version, where the marker holds."""

    requirement: Requirement
    version: Version

    @classmethod
    def read(cls, line: str) -> Pin:
        """Read one entry; ValueError if it is no pin with digests."""
        words, *digests = re.split(r"\s+(?=--)", line)
        if not digests or not all(_DIGEST.fullmatch(digest) for digest in digests):
            raise ValueError(f"an entry without sha256 digests, or with more than that: {words}")
        requirement = Requirement(words)
        pins = [spec for spec in requirement.specifier if spec.operator == "=="]
        if len(pins) != 1 or requirement.url:
            raise ValueError(f"not pinned to one version: {words}")
        return cls(requirement, Version(pins[0].version))


def read_lock(text: str) -> list[Pin]:
    """The entries of a requirements file; ValueError where one is no pin with digests."""
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [Pin.read(line) for line in lines if line and not line.startswith("#")]


def asked(project: Mapping[str, Any], parts: Iterable[str]) -> list[Requirement]:
    """What `project`, a pyproject.toml, asks for in the named groups, or as a project."""
    found: list[str] = []
    for part in parts:
        if part != PROJECT:
            found += project["dependency-groups"][part]
            continue
        found += project["build-system"]["requires"]
        found += project["project"]["dependencies"]
        for extra in project["project"]["optional-dependencies"].values():
            found += extra
    return [Requirement(words) for words in found]


def environments(project: Mapping[str, Any]) -> list[dict[str, str]]:
    """Linux with each Python that the classifiers name, as markers see it."""
    minors = [line.removeprefix(_CLASSIFIER) for line in project["project"]["classifiers"]]
    return [
        {
            "python_version": f"3.{minor}",
            "python_full_version": f"3.{minor}.1",
            "platform_machine": machine,
            "sys_platform": "linux",
            "os_name": "posix",
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
        }
        for minor in minors
        if minor.isdigit()
        for machine in ("x86_64", "aarch64")
    ]


def disagreements(
    requirements: Iterable[Requirement], pins: Iterable[Pin], places: Iterable[dict[str, str]]
) -> list[str]:
    """A sentence for each requirement that the lock lacks somewhere, or has in a wrong version."""
    known, places = list(pins), list(places)
    found: list[str] = []
    for requirement in requirements:
        marker = requirement.marker
        here = [place for place in places if marker is None or marker.evaluate(place)]
        found += [said for place in here if (said := _disagreement(requirement, known, place))][:1]
    return found


def _disagreement(requirement: Requirement, pins: list[Pin], place: dict[str, str]) -> str:
    name = canonicalize_name(requirement.name)
    python = f"Python {place['python_version']} on {place['platform_machine']}"
    here = [
        pin
        for pin in pins
        if canonicalize_name(pin.requirement.name) == name
        and (pin.requirement.marker is None or pin.requirement.marker.evaluate(place))
    ]
    if len(here) != 1:
        return f"{requirement}: the lock has {len(here) or 'nothing'} of it for {python}"
    if not requirement.specifier.contains(here[0].version, prereleases=True):
        return f"{requirement}: the lock has {here[0].version}"
    return ""


def check() -> int:
    """Compare; say what is amiss on standard error, and what to do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wrong: list[str] = []
    for name, parts in LOCKED.items():
        try:
            pins = read_lock((FOLDER / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            wrong.append(f"{name}: {error}")
            continue
        found = disagreements(asked(project, parts), pins, environments(project))
        wrong += [f"{name}: {sentence}" for sentence in found]
    if wrong:
        print("The lock in .ci/lock does not hold what pyproject.toml asks for:", file=sys.stderr)
        print(*(f"  {sentence}" for sentence in wrong), sep="\n", file=sys.stderr)
        print("Make it anew with `make lock`, and commit it.", file=sys.stderr)
    return 1 if wrong else 0


def make(*, upgrade: bool) -> int:
    """Have uv resolve for all Pythons and machines at once; what is pinned stays while it does."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, parts in LOCKED.items():
        sources = ["pyproject.toml", "--all-extras"] if PROJECT in parts else []
        sources += [f"--group={part}" for part in parts if part != PROJECT]
        words = ["--universal", "--python-version=3.10", "--generate-hashes", "--no-emit-index-url"]
        words += ["--custom-compile-command=make lock", f"--output-file={FOLDER / name}", "--quiet"]
        words += ["--upgrade"] if upgrade else []
        done = subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", *sources, *words], cwd=ROOT, check=False
        )
        if done.returncode != 0:
            print(f"uv could not make {name}; the lock may be half new.", file=sys.stderr)
            return 1
    return check()


def main() -> int:
    """Check or make."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("check", "make"))
    parser.add_argument("--upgrade", action="store_true", help="take the newest of everything")
    options = parser.parse_args()
    return check() if options.what == "check" else make(upgrade=options.upgrade)


if __name__ == "__main__":
    sys.exit(main())
