"""Whole runs where the machine lacks something: they work, or say in one message what is the matter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import odd_machine
import pytest
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, tree

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.bubblewrap.engine import WITHOUT_FILTER
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose

pytestmark = pytest.mark.integration

PLAIN_WORDS = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # Python would make up for the locale


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What it lacks, and what it is to say of that; folders of the test in {braces}.

    With `says` a run proves nothing; with `warns` it passes.
    """

    lacks: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()


HOME = {"HOME": "{home}", "PYTEST_MANYLINUX_CACHE": ""}
NOWHERE = ("bound={out}:{out}", "read_only=/tmp", "read_only=/var/tmp", "read_only={project}")
WORKS = {
    "an ordinary user": Machine(),
    "a home that is read-only": Machine(
        lacks=("bound={cache}:{home}/.cache/pytest-manylinux", "read_only={home}"), environment=HOME
    ),
    "a kernel without filters of calls": Machine(lacks=("no_filters=",), warns=(WITHOUT_FILTER,)),
    "root of a user namespace that may set no groups": Machine(lacks=("root",)),
    "a terminal that knows ASCII only": Machine(environment={**PLAIN_WORDS, "LC_ALL": "POSIX"}),
}
WORKS_TOO = {
    "no home": Machine(lacks=("unset=HOME",)),
    "no /dev/shm": Machine(lacks=("no_shared_memory=",)),
    "a temporary folder without execution": Machine(lacks=("no_exec={temporary}",)),
    "a temporary folder that is not there": Machine(environment={"TMPDIR": "/nonexistent"}),
    "a project that is read-only": Machine(lacks=("read_only={project}",)),
    "a closed standard input": Machine(lacks=("closed=0",)),
    "a locale of bytes": Machine(environment={**PLAIN_WORDS, "LC_ALL": "C"}),
    "a terminal of 20 columns": Machine(environment={"COLUMNS": "20"}),
    "no control groups": Machine(lacks=("empty=/sys/fs/cgroup",)),
    "no /sys": Machine(lacks=("empty=/sys",)),
}
NO_NAMESPACES = (
    "engine bubblewrap cannot make a sandbox on this machine",
    "max_*_namespaces exceeded",
    "next: sudo sysctl -w user.max_user_namespaces=15000",
)
SAYS = {
    "no user namespaces": Machine(lacks=("no_namespaces=",), says=NO_NAMESPACES),
    "nowhere to put temporary files": Machine(
        lacks=NOWHERE,
        environment={"TMPDIR": "/nonexistent"},
        arguments=("--capture=no",),  # which pytest needs a temporary file for
        says=("no temporary folder can be had on this machine", "in TMPDIR"),
    ),
}
SAYS_TOO = {
    "a home that is read-only and empty": Machine(
        lacks=("read_only={home}",),
        environment=HOME,
        says=("the cache folder {home}/.cache/pytest-manylinux cannot be used", "_CACHE"),
    ),
    "no /proc": Machine(lacks=("empty=/proc",), says=("engine bubblewrap cannot make a sandbox",)),
}


@pytest.fixture(scope="module", autouse=True)
def root() -> None:
    """The root is there before: an ordinary user without subordinate ids makes none."""
    distro = load_catalogue().get("debian-12")
    images = ArchiveImages(ImageStore())
    images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(folder=tmp_path).make()
    (tmp_path / "home/.cache/pytest-manylinux").mkdir(parents=True)
    (place.project / "pytest.ini").write_text("[pytest]\n")
    build_wheel(place.project, {"demo.py": ""}, name="demo")
    before = tree(place.project)
    yield place
    assert tree(place.project) == before


def run_on(machine: Machine, place: Place) -> WholeRun:
    """A run that has ended, without a traceback and without leaving anything."""
    places = {
        "project": place.project,
        "temporary": place.temporary,
        "out": place.out,
        "home": place.folder / "home",
        "cache": cache_root(),
    }
    words = [sys.executable, "-I", odd_machine.__file__]
    lacks = [lack.format(**places) for lack in machine.lacks]
    environment = {name: text.format(**places) for name, text in machine.environment.items()}
    run = WholeRun(
        place,
        [
            *("--manylinux-engine=bubblewrap", "--manylinux-image-source=archive"),
            *("--manylinux-distros=debian-12", "--manylinux-fresh"),
            *(*machine.arguments, "demo-1.0-py3-none-any.whl"),
        ],
        {"PYTEST_MANYLINUX_CACHE": str(cache_root()), **environment},
        wrapped_by=[*words, *lacks, "--"],
    )
    code = run.end(within=300)
    run.must_say_no_tracebacks()
    assert leftovers(run) == []
    assert code == (ExitCode.NOT_PROVEN if machine.says else ExitCode.OK), run.words
    told, _, _ = run.words.partition("short test summary info")  # which has all of it again under CI
    assert told.count(" next: ") == bool(machine.says), run.words
    for text in (*machine.says, *machine.warns):
        assert text.format(**places) in run.words, run.words
    return run


@pytest.mark.attack("fault", engine="bubblewrap", by="machine")
@pytest.mark.parametrize("machine", WORKS)
def test_a_run_passes_with(place: Place, machine: str) -> None:
    assert len(run_on(WORKS[machine], place).passes()) == 1


@pytest.mark.faults
@pytest.mark.attack("fault", engine="bubblewrap", by="machine")
@pytest.mark.parametrize("machine", WORKS_TOO)
def test_a_run_passes_also_with(place: Place, machine: str) -> None:
    assert len(run_on(WORKS_TOO[machine], place).passes()) == 1


@pytest.mark.attack("fault", engine="bubblewrap", by="machine")
@pytest.mark.parametrize("machine", SAYS)
def test_a_run_proves_nothing_and_says_why_with(place: Place, machine: str) -> None:
    assert run_on(SAYS[machine], place).passes() == []


@pytest.mark.faults
@pytest.mark.attack("fault", engine="bubblewrap", by="machine")
@pytest.mark.parametrize("machine", SAYS_TOO)
def test_a_run_also_proves_nothing_and_says_why_with(place: Place, machine: str) -> None:
    assert run_on(SAYS_TOO[machine], place).passes() == []
