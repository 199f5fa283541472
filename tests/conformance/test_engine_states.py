"""The life of an engine's sandboxes, walked by hypothesis: two runs interleave, end, are killed."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from engine_runs import Run
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sandboxes import OWN, eventually, processes_with
from whole_runs import control_groups, mounts_below

from pytest_manylinux.engines.api import Engine, SandboxSpec
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.engines.container.leftovers import LABEL
from pytest_manylinux.engines.select import select_engine

RUNS = st.integers(0, 1)
WHICH = st.integers(0, 5)
NAMES = st.sampled_from(["a", "b c", "ü"])
WORDS = st.sampled_from(["", "one", "two\n", "\0\x1b"])
STAGES = st.sampled_from([0.0, 0.002, 0.01, 0.03, 0.1, 0.3])
MOST = 3  # sandboxes of a run at once
KINDS = {
    *("run begun", "run ended", "run killed", "run killed while opening", "run killed while running"),
    *("opened", "put", "got", "looked into", "closed"),
    *("timed out", "killed from inside", "refused"),
}


@dataclass
class Box:
    """What a sandbox must be like: its files; whether it lives, and its own process in it."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    lives: bool = True
    sleeps: bool = True

    @property
    def process(self) -> str:
        """The words of a process that runs in this sandbox and nowhere else."""
        return f"sleep 4250{OWN}.{self.name}"


@dataclass
class Life:
    """A run as it must be."""

    run: Run
    boxes: list[Box] = field(default_factory=list)

    @property
    def living(self) -> list[Box]:
        """The sandboxes that can be asked for something."""
        return [box for box in self.boxes if box.lives]


class Lives(RuleBasedStateMachine):
    """Two runs of one engine at a time; the dead leave nothing, and take nothing of the other's."""

    engine: Engine
    spec: SandboxSpec
    counted: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lives-"))
        self.numbers = itertools.count()
        self.lives: list[Life | None] = [None, None]
        self.dead: list[Run] = []

    def teardown(self) -> None:
        try:
            for number in (0, 1):
                if self.lives[number] is not None:
                    self.end(number, 0)
            self.life(0)  # tidies up
            self.end(0, 0)
            self.nothing_is_left()
        finally:
            for life in self.lives:
                if life is not None:
                    life.run.kill()
            shutil.rmtree(self.folder)

    def count(self, what: str) -> None:
        self.counted[what] += 1

    def life(self, run: int) -> Life:
        """The run, begun if there is none; the beginning tidies up after the dead."""
        life = self.lives[run]
        if life is None:
            self.count("run begun")
            life = Life(Run(self.engine.name, self.spec, self.folder / f"run{next(self.numbers):04}"))
            self.lives[run] = life
            self.nothing_is_left()
        return life

    def nothing_is_left(self) -> None:
        for run in self.dead:
            assert eventually(lambda run=run: mounts_below(run.folder) == [])  # type: ignore[misc]
            assert eventually(lambda run=run: control_groups(run.process.pid) == [])  # type: ignore[misc]
            if run.process.pid in _containers(self.engine):  # the daemon may have made it just now
                select_engine(self.engine.name).close()
            assert eventually(lambda run=run: run.process.pid not in _containers(self.engine))  # type: ignore[misc]

    def some_box(self, run: int, which: int) -> tuple[Life, Box]:
        life = self.life(run)
        if not life.living:
            self.open(run)
        return life, life.living[which % len(life.living)]

    @rule(run=RUNS)
    def open(self, run: int) -> None:
        life = self.life(run)
        if len(life.living) >= MOST:
            return
        box = Box(str(uuid.uuid4().int)[:16])
        assert life.run.ask(do="open", box=box.name) == {"is": "done"}
        life.boxes.append(box)
        # A process that is just becoming another program has no words at all.
        script = f"{box.process} & until tr '\\0' ' ' </proc/$!/cmdline | grep -q ^sleep; do :; done"
        assert life.run.ask(do="exec", box=box.name, script=script)["code"] == 0
        self.count("opened")

    @rule(run=RUNS, which=WHICH, name=NAMES, words=WORDS)
    def put(self, run: int, which: int, name: str, words: str) -> None:
        life, box = self.some_box(run, which)
        source = life.run.folder / "put"
        source.write_text(words)
        answer = life.run.ask(do="put", box=box.name, source=str(source), target=f"/scratch/f/{name}")
        assert answer == {"is": "done"}
        box.files[name] = words
        self.count("put")

    @rule(run=RUNS, which=WHICH)
    def get(self, run: int, which: int) -> None:
        life, box = self.some_box(run, which)
        target = self.folder / f"got{next(self.numbers):04}"
        answer = life.run.ask(do="get", box=box.name, source="/scratch/f", target=str(target))
        if not box.files:
            assert answer["error"] == "SandboxError"
            return
        assert answer == {"is": "done"}
        assert {path.name: path.read_text() for path in target.iterdir()} == box.files
        self.count("got")

    @rule(run=RUNS, which=WHICH)
    def look(self, run: int, which: int) -> None:
        """Only what this sandbox was given is in it, and only its own processes."""
        life, box = self.some_box(run, which)
        script = "ls -A /scratch/f 2>/dev/null; echo; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        answer = life.run.ask(do="exec", box=box.name, script=script)
        listed, _, running = str(answer["said"]).rpartition("\n")
        assert sorted(filter(None, listed.split("\n"))) == sorted(box.files)
        assert running.count(f"sleep 4250{OWN}") == (box.process in running) == box.sleeps
        self.count("looked into")

    @rule(run=RUNS, which=WHICH)
    def run_too_long(self, run: int, which: int) -> None:
        life, box = self.some_box(run, which)
        answer = life.run.ask(do="exec", box=box.name, script="sleep 600", timeout=0.2)
        assert answer["status"] == "timed-out"
        self.lose(box)
        self.count("timed out")

    @rule(run=RUNS, which=WHICH)
    def kill_from_inside(self, run: int, which: int) -> None:
        life, box = self.some_box(run, which)
        answer = life.run.ask(do="exec", box=box.name, script="kill -9 -1; exit 3")
        box.sleeps = False
        if answer["status"] == "lost":
            self.lose(box)
        else:  # what keeps the sandbox may have been killed too, and be gone in a moment
            assert answer["code"] == 3
            life.boxes.remove(box)
            assert life.run.ask(do="close", box=box.name) == {"is": "done"}
        self.count("killed from inside")

    def lose(self, box: Box) -> None:
        box.lives = box.sleeps = False

    @rule(run=RUNS, which=WHICH)
    def ask_a_lost_one(self, run: int, which: int) -> None:
        life = self.life(run)
        lost = [box for box in life.boxes if not box.lives]
        if lost:
            answer = life.run.ask(do="exec", box=lost[which % len(lost)].name, script="true")
            assert answer["error"] == "SandboxError"
            self.count("refused")

    @rule(run=RUNS, which=WHICH)
    def close(self, run: int, which: int) -> None:
        life, _ = self.some_box(run, which)
        box = life.boxes.pop(which % len(life.boxes))
        assert life.run.ask(do="close", box=box.name) == {"is": "done"}
        assert processes_with(box.process) == []
        self.count("closed")

    @rule(run=RUNS, which=WHICH)
    def end(self, run: int, which: int) -> None:
        life, _ = self.some_box(run, which)
        assert life.run.end() == 0
        self.bury(run)
        for box in life.boxes:
            assert processes_with(box.process) == []
        self.count("run ended")

    @rule(run=RUNS, which=WHICH)
    def crash(self, run: int, which: int) -> None:
        life, _ = self.some_box(run, which)
        life.run.kill()
        self.bury(run)
        self.count("run killed")

    @rule(run=RUNS, stage=STAGES)
    def crash_while_opening(self, run: int, stage: float) -> None:
        life = self.life(run)
        life.run.tell(do="open", box="half")
        time.sleep(stage)  # whichever stage that is on this machine
        life.run.kill()
        self.bury(run)
        self.count("run killed while opening")

    @rule(run=RUNS, which=WHICH)
    def crash_while_running(self, run: int, which: int) -> None:
        life, box = self.some_box(run, which)
        life.run.tell(do="exec", box=box.name, script=f"{box.process}1 & {box.process}2")
        assert eventually(lambda: bool(processes_with(f"{box.process}2")))
        life.run.kill()
        self.bury(run)
        self.count("run killed while running")

    def bury(self, run: int) -> None:
        """Its processes are gone soon; containers' records and groups at latest when one begins."""
        life = self.lives[run]
        assert life is not None
        self.lives[run] = None
        self.dead.append(life.run)
        for box in life.boxes:
            assert eventually(lambda box=box: processes_with(box.process) == [])  # type: ignore[misc]

    @precondition(lambda self: any(self.lives))
    @invariant()
    def what_must_run_runs(self) -> None:
        for life in self.lives:
            for box in life.boxes if life else []:
                found = processes_with(box.process)
                assert bool(found) == box.sleeps, (box, found)


def _containers(engine: Engine) -> dict[int, int]:
    """How many containers there are of each run, by its process id."""
    if not isinstance(engine, ContainerEngine):
        return {}
    client: docker.DockerClient = engine._client
    found = client.api.containers(all=True, filters={"label": f"{LABEL}.pid"})
    return dict(Counter(int(one["Labels"][f"{LABEL}.pid"]) for one in found))


def _machine(engine: Engine, spec: SandboxSpec) -> type[Lives]:
    class Walk(Lives):
        """Of this engine, with counts of its own."""

    Walk.engine, Walk.spec, Walk.counted = engine, spec, Counter()
    return Walk


def _walk(machine: type[Lives], *, examples: int, steps: int) -> None:
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what is found is found; to make it smaller takes minutes
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase().runTest()


def _walk_through_all(machine: type[Lives]) -> None:
    """Every rule once, in an order in which each has something to do."""
    state = machine()
    for run in (0, 1):
        state.put(run, 0, "a", f"of {run}")
    state.open(0)
    state.put(0, 1, "b c", "")
    state.get(0, 0)
    state.run_too_long(0, 1)
    state.what_must_run_runs()
    state.ask_a_lost_one(0, 0)
    state.close(0, 1)
    state.close(0, 0)
    state.kill_from_inside(0, 0)
    state.what_must_run_runs()
    state.crash(0, 0)
    state.crash_while_opening(0, 0.02)
    state.crash_while_running(0, 0)
    state.what_must_run_runs()
    state.look(1, 0)
    state.get(1, 0)
    state.end(0, 0)
    state.teardown()


@pytest.mark.attack("fault")
@pytest.mark.parametrize("where", ["bubblewrap"], indirect=True)
def test_two_lives(engine: Engine, spec: SandboxSpec) -> None:
    machine = _machine(engine, spec)
    _walk_through_all(machine)
    assert set(machine.counted) == KINDS
    _walk(machine, examples=1, steps=10)


@pytest.mark.faults
@pytest.mark.attack("fault")
def test_many_lives(engine: Engine, spec: SandboxSpec, show_table: Callable[[str], None]) -> None:
    machine = _machine(engine, spec)
    _walk_through_all(machine)
    assert set(machine.counted) == KINDS
    _walk(machine, examples=5, steps=20)
    show_table("\n".join(f"{what:28}{count:6}" for what, count in sorted(machine.counted.items())))
