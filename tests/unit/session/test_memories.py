"""What earlier runs saw and built, under two runs that interleave, crash, and meet damage."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from trial_values import imported, make_observation, raised

from pytest_manylinux.build.memory import BuildMemory
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.session.memory import Memory

pytestmark = pytest.mark.attack("fault")

KEYS = st.sampled_from(["aa" * 32, "ab" * 32])
RUNS = st.integers(0, 1)
NAME = "demo-1.0-cp311-cp311-manylinux1_x86_64.whl"


def seen(number: int) -> Observation:
    return make_observation(imported(), started=float(number))


class Observations(RuleBasedStateMachine):
    """What is recalled is, to the letter, what was kept last under that very key; or nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="states-"))
        self.runs = [Memory(self.root), Memory(self.root, fresh=True)]
        self.kept: dict[str, Observation] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(run=RUNS, key=KEYS, number=st.integers(0, 3))
    def keep(self, run: int, key: str, number: int) -> None:
        self.runs[run].keep(key, seen(number), Outcome.PORTABLE)
        self.kept[key] = seen(number)

    @rule(run=RUNS, key=KEYS, outcome=st.sampled_from([Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN]))
    def keep_a_fault(self, run: int, key: str, outcome: Outcome) -> None:
        fault = make_observation(raised("ValueError", "no"))
        self.runs[run].keep(key, fault, outcome)

    @rule(key=KEYS)
    def recall(self, key: str) -> None:
        found = self.runs[0].recall(key)
        assert found is None or found == replace(self.kept[key], remembered=True)
        assert self.runs[1].recall(key) is None

    @rule(place=st.integers(0, 5000), bit=st.integers(0, 7))
    def flip_a_bit(self, place: int, bit: int) -> None:
        for path in self.root.glob("*/*.json"):
            content = bytearray(path.read_bytes())
            if place < len(content):
                content[place] ^= 1 << bit
                path.write_bytes(content)

    @rule(left=st.integers(0, 900))
    def cut(self, left: int) -> None:
        for path in self.root.glob("*/*.json"):
            path.write_bytes(path.read_bytes()[:left])

    @rule()
    def put_a_file_under_another_key(self) -> None:
        for path in self.root.glob("aa/*.json"):
            (self.root / "ab").mkdir(exist_ok=True)
            shutil.copy(path, self.root / "ab" / f"{'ab' * 32}.json")

    @rule(run=RUNS)
    def die_while_writing(self, run: int) -> None:
        (self.root / "aa").mkdir(exist_ok=True)
        (self.root / "aa" / f".{'aa' * 32}.json.{run}").write_bytes(b"half")

    @rule(limit=st.sampled_from([0, 10**9]))
    def prune(self, limit: int) -> None:
        Memory(self.root, limit=limit).prune()
        assert limit or list(self.root.glob("*/*.json")) == []


def test_observations_are_recalled_whole_or_not_at_all() -> None:
    Observations.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
    Observations.TestCase().runTest()


@pytest.mark.parametrize("place", [0, 70, 200])
def test_a_flipped_bit_is_noticed(tmp_path: Path, place: int) -> None:
    memory = Memory(tmp_path)
    memory.keep("aa" * 32, seen(1), Outcome.PORTABLE)
    (path,) = tmp_path.glob("*/*.json")
    assert memory.recall("aa" * 32) == replace(seen(1), remembered=True)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert memory.recall("aa" * 32) is None


def test_a_disk_without_room_keeps_nothing(tmp_path: Path) -> None:
    memory = Memory(Path("/dev/full"))
    memory.keep("aa" * 32, seen(1), Outcome.PORTABLE)
    folder = tmp_path / "aa" / f"{'aa' * 32}.json"
    folder.mkdir(parents=True)  # the file cannot take its place
    Memory(tmp_path).keep("aa" * 32, seen(1), Outcome.PORTABLE)
    assert Memory(tmp_path).recall("aa" * 32) is None


class Builds(RuleBasedStateMachine):
    """A wheel that is recalled has the bytes that its record tells; and they were kept, whole."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="states-"))
        self.memory = BuildMemory(self.root / "wheels", limit=3000)
        self.kept: dict[str, set[bytes]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(key=KEYS, content=st.sampled_from([b"one" * 300, b"two" * 400]))
    def keep(self, key: str, content: bytes) -> None:
        wheel = self.root / NAME
        wheel.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        record = BuildRecord(
            project="demo", python="cp311", policy="manylinux1", builder="zig", wheel_sha256=digest
        )
        self.memory.keep(key, wheel, record)
        self.kept.setdefault(key, set()).add(content)

    @rule(key=KEYS)
    def recall(self, key: str) -> None:
        found = self.memory.recall(key)
        if found is not None:
            content = found[0].read_bytes()
            assert content in self.kept[key]
            assert hashlib.sha256(content).hexdigest() == found[1].wheel_sha256

    @rule(place=st.integers(0, 1300), name=st.sampled_from(["*.whl", "record.json"]))
    def flip_a_bit(self, place: int, name: str) -> None:
        for path in self.root.glob(f"wheels/*/{name}"):
            content = bytearray(path.read_bytes())
            if place < len(content):
                content[place] ^= 1
                path.write_bytes(content)

    @rule()
    def die_while_keeping(self) -> None:
        half = self.root / "wheels" / ".part-dead" / ("aa" * 32)
        half.mkdir(parents=True, exist_ok=True)
        (half / NAME).write_bytes(b"half")

    @rule(key=KEYS)
    def lose_a_file(self, key: str) -> None:
        (self.root / "wheels" / key / "record.json").unlink(missing_ok=True)


def test_builds_are_recalled_whole_or_not_at_all() -> None:
    Builds.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
    Builds.TestCase().runTest()
