"""What earlier runs saw and built, under two runs that interleave, crash, and meet damage."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from trial_values import imported, make_observation, raised

from pytest_manylinux.building.wheelhouse import BuildMemory
from pytest_manylinux.cache import values
from pytest_manylinux.diagnose.check_registry import make_finding
from pytest_manylinux.errors import ReportError
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.run import observation_memory as session_memory
from pytest_manylinux.run.observation_memory import Known, Memory

pytestmark = pytest.mark.attack("fault")

KEYS = st.sampled_from(["aa" * 32, "ab" * 32])
RUNS = st.integers(0, 1)
NAME = "demo-1.0-cp311-cp311-manylinux1_x86_64.whl"


def seen(number: int) -> Observation:
    return make_observation(imported(), started=float(number))


def verdict(outcome: Outcome, number: int = 1) -> Verdict:
    failed = outcome is Outcome.NOT_PORTABLE
    observation = make_observation(raised("ValueError", "no")) if failed else seen(number)
    return Verdict(
        outcome=outcome,
        subject=observation.target,
        wheel=NAME,
        wheel_sha256="0" * 64,
        findings=(make_finding("import-error", "import demo: ValueError: no"),) if failed else (),
        observation=observation,
    )


PASS, FAULT = verdict(Outcome.PORTABLE), verdict(Outcome.NOT_PORTABLE)


class Observations(RuleBasedStateMachine):
    """What is recalled is, to the letter, the last pass under that very key, or nothing is.

    A pass is never recalled over a failure: only damage and a full cache lose count of one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="states-"))
        self.runs = [Memory(self.root), Memory(self.root, fresh=True)]
        self.kept: dict[str, Observation] = {}
        self.failed: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()
        self.sound = True

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(run=RUNS, key=KEYS, number=st.integers(0, 3))
    def keep(self, run: int, key: str, number: int) -> None:
        self.kept[key] = seen(number)
        self.count(key, self.runs[run].add(key, verdict(Outcome.PORTABLE, number)), failed=0)

    @rule(run=RUNS, key=KEYS)
    def keep_a_fault(self, run: int, key: str) -> None:
        self.count(key, self.runs[run].add(key, FAULT), failed=1)

    def count(self, key: str, known: Known, *, failed: int) -> None:
        self.tries[key] += 1
        self.failed[key] += failed
        counts = (known.tries, known.failed)
        assert not self.sound or counts == (self.tries[key], self.failed[key])

    @rule(key=KEYS)
    def recall(self, key: str) -> None:
        found = self.runs[0].recall(key)
        assert found is None or found == replace(self.kept[key], remembered=True)
        assert found or not (self.sound and self.tries[key] and not self.failed[key])
        assert found is None or not (self.sound and self.failed[key])
        assert self.runs[1].recall(key) is None

    @rule(word=st.sampled_from([NAME, "demo-*", "other-*"]))
    def forget(self, word: str) -> None:
        gone = self.runs[0].forget((word,))
        assert not gone or word != "other-*"
        if word != "other-*":
            assert [self.runs[0].recall(key) for key in ("aa" * 32, "ab" * 32)] == [None, None]
            self.failed.clear()
            self.tries.clear()

    @rule(place=st.integers(0, 5000), bit=st.integers(0, 7))
    def flip_a_bit(self, place: int, bit: int) -> None:
        self.sound = False
        for path in self.root.glob("*/*.json"):
            content = bytearray(path.read_bytes())
            if place < len(content):
                content[place] ^= 1 << bit
                path.write_bytes(content)

    @rule(left=st.integers(0, 900))
    def cut(self, left: int) -> None:
        self.sound = False
        for path in self.root.glob("*/*.json"):
            path.write_bytes(path.read_bytes()[:left])

    @rule()
    def put_a_file_under_another_key(self) -> None:
        self.sound = False
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
        if not limit:
            assert list(self.root.glob("*/*.json")) == []
            self.failed.clear()
            self.tries.clear()
            self.sound = True


def test_observations_are_recalled_whole_or_not_at_all() -> None:
    Observations.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
    Observations.TestCase().runTest()


@pytest.mark.parametrize("place", [0, 70, 200])
def test_a_flipped_bit_is_noticed(tmp_path: Path, place: int) -> None:
    memory = Memory(tmp_path)
    memory.add("aa" * 32, PASS)
    (path,) = tmp_path.glob("*/*.json")
    assert memory.recall("aa" * 32) == replace(seen(1), remembered=True)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert memory.recall("aa" * 32) is None


def test_a_limit_of_nothing_leaves_no_file_that_damage_has_emptied(tmp_path: Path) -> None:
    Memory(tmp_path).add("aa" * 32, FAULT)
    (file,) = tmp_path.glob("*/*.json")
    file.write_bytes(b"")
    Memory(tmp_path, limit=1).prune()
    assert file.exists()
    Memory(tmp_path, limit=0).prune()
    assert not file.exists()


def test_a_disk_without_room_keeps_nothing(tmp_path: Path) -> None:
    memory = Memory(Path("/dev/full"))
    memory.add("aa" * 32, PASS)
    folder = tmp_path / "aa" / f"{'aa' * 32}.json"
    folder.mkdir(parents=True)  # the file cannot take its place
    Memory(tmp_path).add("aa" * 32, PASS)
    assert Memory(tmp_path).recall("aa" * 32) is None


def test_a_failure_that_cannot_be_kept_takes_the_pass_before_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(tmp_path).add("aa" * 32, PASS)

    def full(path: Path, content: bytes) -> None:
        del content
        raise ReportError(f"{path} could not be written", why="No space left on device")

    monkeypatch.setattr(values, "write_atomically", full)
    known = Memory(tmp_path).add("aa" * 32, FAULT)
    assert (known.tries, known.failed) == (2, 1)
    assert Memory(tmp_path).recall("aa" * 32) is None


def test_failures_are_counted_and_a_pass_after_one_is_not_recalled(tmp_path: Path) -> None:
    for outcome in (FAULT, PASS, PASS, FAULT, PASS):
        known = Memory(tmp_path).add("aa" * 32, outcome)
    assert (known.tries, known.failed) == (5, 2)
    assert known.words == "import-error: import demo: ValueError: no"
    assert known.observation is None
    assert Memory(tmp_path).recall("aa" * 32) is None


def test_another_judge_counts_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Memory(tmp_path).add("aa" * 32, FAULT)
    monkeypatch.setattr(session_memory, "code_version", lambda *_: "another release")
    known = Memory(tmp_path).add("aa" * 32, PASS)
    assert (known.tries, known.failed) == (1, 0)
    assert Memory(tmp_path).recall("aa" * 32) is not None


def test_runs_at_once_lose_no_failure(tmp_path: Path) -> None:
    """Each has the file's content in hand while another one writes."""

    def one(number: int) -> None:
        Memory(tmp_path).add("aa" * 32, FAULT if number % 2 else PASS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    known = Memory(tmp_path).add("aa" * 32, PASS)
    assert (known.tries, known.failed) == (41, 20)


def test_what_is_kept_of_a_failure_is_bounded(tmp_path: Path) -> None:
    long = replace(FAULT, findings=(make_finding("import-error", "x\n" * 100_000),))
    known = [Memory(tmp_path).add("aa" * 32, long) for _ in range(3)][-1]
    assert len(known.words) == 300
    (path,) = tmp_path.glob("*/*.json")
    assert path.stat().st_size < 2000


class Builds(RuleBasedStateMachine):
    """A wheel that is recalled has the bytes that its record tells; and they were values, whole."""

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
        found = self.memory.recall(key)
        assert found is not None
        assert found[0].read_bytes() == content

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
