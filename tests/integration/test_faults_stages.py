"""A run is told to end, or killed, at each of its stages: nothing is left, and the next run works."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_grounds import Grounds, engine_grounds
from faulty_server import FaultyServer, faulty_server
from loopback_index import index_running
from sandboxes import eventually
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed, tree

from pytest_manylinux.errors import ExitCode

pytestmark = [pytest.mark.integration, pytest.mark.attack("fault", by="stage")]

SAMPLE = Path(__file__).parents[2] / "sample_projects/portable/abi3_extension"
ENGINES = ("bubblewrap", "docker", "podman")
SLEEP = "2.61803"  # seconds that nobody else sleeps
WAITS = f"import leaf_of_faults, subprocess\nsubprocess.run(['sleep', '{SLEEP}'])\n"
# Holds a run where its reports are being written, until the signal comes.
HOLD = """
import os, pathlib, time
from pytest_manylinux.report.page import view
from pytest_manylinux.run import reports

def write(record, path, **words):
    pathlib.Path(os.environ["REPORTING"]).touch()
    time.sleep(3)
    return view.write_html(record, path, **words)

reports.write_html = write
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`forget` are parts of the cache that must be gone for a run to come there; `seen` tells it is."""

    forget: tuple[str, ...] = ()
    seen: Callable[[Scene], bool]


@dataclass
class Scene:
    """A project with an extension module and a dependency, an index, an engine; and the run."""

    place: Place
    grounds: Grounds
    index: FaultyServer
    subject: str
    run: WholeRun | None = None

    def begin(self, name: str) -> WholeRun:
        marker = self.place.folder / "reporting"
        marker.unlink(missing_ok=True)
        arguments = [f"--manylinux-engine={self.grounds.name}", "--manylinux-image-source=archive"]
        arguments += ["--manylinux-distros=debian-12", "-p", "hold", f"--manylinux-html={self.html}"]
        environment = {
            "PIP_INDEX_URL": f"{self.index.url}/simple/",
            "PYTHONPATH": f"{self.place.folder}:{os.environ.get('PYTHONPATH', '')}",
            "REPORTING": str(marker),
        }
        self.index.asked.clear()
        self.run = WholeRun(self.place, [*arguments, self.subject], environment, name=name)
        return self.run

    @property
    def html(self) -> Path:
        return self.place.out / "report.html"

    def says(self, words: str) -> bool:
        return self.run is not None and words in self.run.words

    def runs(self, words: str) -> bool:
        return self.grounds.runs(words, self.place)

    def has(self, path: str) -> bool:
        return self.grounds.has_inside(path, self.place)

    def forget(self, parts: tuple[str, ...]) -> None:
        for part in parts:
            shutil.rmtree(self.place.cache / part, ignore_errors=True)


BUILDING = {
    "fetching the compiler": Stage(
        forget=("build/zig", "build/wheels"), seen=lambda it: it.says("fetching the compiler")
    ),
    "fetching tools": Stage(
        forget=("build/tools", "build/wheels"), seen=lambda it: it.runs("pip install --target")
    ),
    "building": Stage(forget=("build/wheels",), seen=lambda it: it.runs("build_hooks.py wheel")),
    "repairing": Stage(forget=("build/wheels",), seen=lambda it: it.runs("auditwheel")),
}
TRYING = {
    "collection": Stage(forget=("observations",), seen=lambda it: it.says("test session starts")),
    "making a root": Stage(
        forget=("images", "recipes", "observations"), seen=lambda it: it.says("packages set up")
    ),
    "resolving dependencies": Stage(
        forget=("dependencies", "observations"),
        seen=lambda it: any("leaf" in path for path in it.index.asked),
    ),
    "preparing a venv": Stage(forget=("venvs", "observations"), seen=lambda it: it.runs("-m venv")),
    "installing": Stage(
        forget=("observations",),
        seen=lambda it: it.has("scratch/venv/lib/python3.11/site-packages/filler"),
    ),
    "importing": Stage(forget=("observations",), seen=lambda it: it.runs(f"sleep {SLEEP}")),
}
REPORTING = {
    "writing reports": Stage(seen=lambda it: (it.place.folder / "reporting").exists()),
}
SIGNALS = {
    "Ctrl-C": (signal.SIGINT, ExitCode.INTERRUPTED),
    "SIGTERM": (signal.SIGTERM, ExitCode.INTERRUPTED),
    "SIGKILL": (signal.SIGKILL, -signal.SIGKILL),
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def project(place: Place) -> str:
    """A project with an extension module and a dependency; the argument that names it."""
    shutil.copytree(SAMPLE, place.project, dirs_exist_ok=True)
    (place.project / "waits.py").write_text(f"import abi3_extension\n{WAITS}")
    setup = (place.project / "setup.py").read_text()
    (place.project / "setup.py").write_text(
        setup.replace("setup(", "setup(\n    py_modules=['waits'],")
    )
    with (place.project / "pyproject.toml").open("a") as file:
        file.write('dependencies = ["leaf-of-faults"]\n')
    return "."


def wheel(place: Place) -> str:
    """A wheel with a dependency; the argument that names it."""
    (place.project / "pytest.ini").write_text("[pytest]\n")
    many = {f"filler/{number}.txt": "x\n" for number in range(1500)}
    files = {"waits.py": WAITS, "filler/__init__.py": "", **many}
    return build_wheel(place.project, files, name="waits", requires=["leaf-of-faults"]).name


@contextmanager
def scene_of(make: Callable[[Place], str], engine: str, folder: Path) -> Iterator[Scene]:
    """A scene that has had one whole run, so that all its caches are full."""
    place = Place(folder=folder).make()
    seed(place.cache)
    subject = make(place)
    (place.folder / "hold.py").write_text(HOLD)
    build_wheel(place.folder / "index", {"leaf_of_faults.py": "x = 1\n"}, name="leaf-of-faults")
    with ExitStack() as stack:
        grounds = stack.enter_context(engine_grounds(engine))
        index = stack.enter_context(index_running(place.folder / "index"))
        server = stack.enter_context(faulty_server(index.url))
        scene = Scene(place=place, grounds=grounds, index=server, subject=subject)
        run = scene.begin("whole")
        assert run.end() == ExitCode.OK, run.words
        yield scene


@pytest.fixture(scope="module")
def building(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene_of(project, engine, tmp_path_factory.mktemp("building")) as scene:
        yield scene


@pytest.fixture(scope="module")
def trying(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene_of(wheel, engine, tmp_path_factory.mktemp("trying")) as scene:
        yield scene


def end_at(scene: Scene, stage: Stage, how: str) -> WholeRun:
    """Have a run come to a stage, end it there, and look at what it leaves; then run once more."""
    number, code = SIGNALS[how]
    before, containers = tree(scene.place.project), scene.grounds.containers()
    scene.forget(stage.forget)
    for left in scene.place.temporary.iterdir():  # of a case that failed, and was told as such
        shutil.rmtree(left)
    run = scene.begin("ended")
    run.await_stage(lambda _: stage.seen(scene))
    run.send(number, to_all=how == "Ctrl-C")
    assert run.end(within=60) == code, run.words
    if how != "SIGKILL":
        run.must_say_no_tracebacks()
    assert leftovers(run) == []
    if how == "SIGKILL":  # the daemon learns of it by its connection, and then removes what was its
        assert eventually(lambda: scene.grounds.containers() == containers)
    else:
        assert scene.grounds.containers() == containers
    after = scene.begin("next")
    assert after.end() == ExitCode.OK, after.words
    assert len(after.passes()) == 1
    assert leftovers(after) == []
    assert tree(scene.place.project) == before
    return run


@pytest.mark.faults
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("stage", BUILDING)
def test_a_run_that_is_ended(building: Scene, stage: str, how: str) -> None:
    assert end_at(building, BUILDING[stage], how).passes() == []


@pytest.mark.faults
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("stage", TRYING)
def test_a_run_that_is_ended_in(trying: Scene, stage: str, how: str) -> None:
    assert end_at(trying, TRYING[stage], how).passes() == []


@pytest.mark.faults
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("stage", REPORTING)
def test_a_run_that_is_ended_when(trying: Scene, stage: str, how: str) -> None:
    assert (
        len(end_at(trying, REPORTING[stage], how).passes()) <= 1
    )  # it may be written by then, and true
