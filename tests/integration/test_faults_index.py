"""A package index that fails while a trial's dependencies are resolved.

For each fault: nothing is proven, the run ends within a limit with one clear message, nothing is left,
no cache keeps anything of it, and the next run without the fault works.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from engine_grounds import Grounds, engine_grounds
from faulty_server import Fault, FaultyServer, faulty_server
from loopback_index import index_running
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed, tree, wait_for

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause, Outcome

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="fault")]

FAULTS = {fault.value: fault for fault in Fault if fault is not Fault.NONE}
ENGINES = ("bubblewrap",)
LIMIT = 300  # seconds within which a run with a fault must have ended


@dataclass
class Scene:
    """A project, an engine, and a server that fails on demand; how runs are begun."""

    place: Place
    grounds: Grounds
    server: FaultyServer
    cause: Cause
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, name: str) -> WholeRun:
        arguments = [f"--manylinux-engine={self.grounds.name}", *self.arguments]
        return WholeRun(self.place, arguments, self.environment, name=name)

    def forget(self, *parts: str) -> None:
        for part in parts:
            for path in self.place.cache.glob(part):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def fail(self, fault: Fault, pattern: str) -> None:
        """One run in which what matches `pattern` goes wrong, and one without the fault."""
        before, containers = tree(self.place.project), self.grounds.containers()
        self.server.asked.clear()
        self.server.fault, self.server.pattern = fault, pattern
        try:
            run = self.run("failed")
            code = run.end(within=LIMIT)
        finally:
            self.server.fault = Fault.NONE
        assert any(self.server.matches(path) for path in self.server.asked)
        assert code == ExitCode.NOT_PROVEN, run.words
        run.must_say_no_tracebacks()
        assert run.passes() == []
        wrong = [one for one in run.verdicts() if one.outcome is Outcome.NOT_PROVEN]
        assert {one.cause for one in wrong} == {self.cause}, wrong
        for verdict in wrong:
            assert "why: " in verdict.reason, verdict.reason
            assert "next: " in verdict.reason, verdict.reason
        self._is_tidy(run, containers)
        self._works_again(before, containers)

    def _works_again(self, before: dict[str, str], containers: list[str]) -> None:
        after = self.run("next")
        assert after.end() == ExitCode.OK, after.words
        assert len(after.passes()) == 1
        self._is_tidy(after, containers)
        assert tree(self.place.project) == before

    def _is_tidy(self, run: WholeRun, containers: list[str]) -> None:
        assert leftovers(run) == []
        assert wait_for(lambda: self.grounds.containers() == containers, seconds=20)


def a_place(folder: Path) -> Place:
    """Folders with a cache that has the usual root, and a project that is a folder of wheels."""
    place = Place(folder=folder).make()
    seed(place.cache)
    (place.project / "pytest.ini").write_text("[pytest]\n")
    return place


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Grounds]:
    with engine_grounds(request.param) as grounds:
        yield grounds


@pytest.fixture(scope="module")
def index(engine: Grounds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A wheel with a dependency, which only an index behind the server has."""
    place = a_place(tmp_path_factory.mktemp("index"))
    build_wheel(place.project, {"good.py": "import leaf\n"}, name="good", requires=["leaf-of-faults"])
    with index_of(place, engine, Cause.DEPENDENCY, "--manylinux-trial-timeout=30") as scene:
        yield scene


@contextmanager
def index_of(place: Place, grounds: Grounds, cause: Cause, limit: str) -> Iterator[Scene]:
    build_wheel(place.folder / "index", {"leaf.py": "x = 1\n"}, name="leaf-of-faults")
    with index_running(place.folder / "index") as real, faulty_server(real.url) as server:
        yield Scene(
            place=place,
            grounds=grounds,
            server=server,
            cause=cause,
            arguments=(
                "--manylinux-distros=debian-12",
                "--manylinux-image-source=archive",
                limit,
                ".",
            ),
            environment={
                "PIP_INDEX_URL": f"{server.url}/simple/",
                "PIP_DEFAULT_TIMEOUT": "5",
                "PIP_RETRIES": "2",
            },
        )


# Damage to a page in which files are listed may do nothing; files are known by their digests.
PARTS = [
    (fault, part)
    for fault in FAULTS
    for part in ("simple", "packages")
    if (fault, part) != (Fault.DAMAGED.value, "simple")
]


@pytest.mark.parametrize("engine", ENGINES, indirect=True, scope="module")
@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_an_index_fails(index: Scene, fault: str, part: str) -> None:
    index.forget("dependencies", "observations")
    index.fail(FAULTS[fault], f"/{part}/leaf")
