"""Whole runs against a server that fails on demand: a project, an engine, and what has to hold."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from engine_grounds import Grounds
from faulty_server import Fault, FaultyServer
from whole_runs import Place, WholeRun, leftovers, seed, tree, wait_for

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause, Outcome

FAULTS = {fault.value: fault for fault in Fault if fault is not Fault.NONE}
LIMIT = 300  # seconds within which a run with a fault must have ended
# Shortens the limits that are meant for slow networks; what they do is the same.
_QUICK = """
from pytest_manylinux.images import image_progress, registry, skopeo

for module, name, seconds in (
    (image_progress, "TRICKLE", 20.0),
    (registry, "_SILENCE", 40.0),
    (skopeo, "_SILENCE", 40.0),
):
    assert hasattr(module, name), (module, name)
    setattr(module, name, seconds)
"""


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
        arguments = ["-p", "quick", f"--manylinux-engine={self.grounds.name}", *self.arguments]
        environment = {"PYTHONPATH": str(self.place.folder), **self.environment}
        return WholeRun(self.place, arguments, environment, name=name)

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
    (place.folder / "quick.py").write_text(_QUICK)
    (place.project / "pytest.ini").write_text("[pytest]\n")
    return place
