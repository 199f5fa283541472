"""Wheels that take all they can get: each ends at its own limit, and what is beside it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sandboxes import OWN, need_control_groups, processes_with

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.model.observation import ImportStatus, Observation

pytestmark = [pytest.mark.faults, pytest.mark.attack("limit", by="greed")]

Observe = Callable[[str, Mapping[str, str], float], Observation]
HUNG, RAISED, SIGNALLED = ImportStatus.HUNG, ImportStatus.RAISED, ImportStatus.SIGNALLED
EXITED = ImportStatus.EXITED  # by the interpreter, which could no longer tell what was raised
LIMIT = 60.0  # seconds of a trial
BEYOND = 30.0  # what it may take besides: its start and its end, on a machine under load
MARK = f"4252.5{OWN}"  # seconds that nobody else sleeps


@dataclass(frozen=True, kw_only=True)
class Greed:
    """A module, how its import may end, and a word of what is told then."""

    code: str
    ends: tuple[ImportStatus, ...]
    says: str = ""


FILL = """
for place in ("/scratch/big", "/tmp/big", "/dev/shm/big"):
    try:
        with open(place, "wb") as file:
            while True:
                file.write(bytes(1 << 24))
    except OSError as error:
        last = error
        print(place, error.strerror)
raise last
"""
HOGS = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = b"x" * (1 << 30)
        time.sleep(5)
        os._exit(0)
ends = [os.wait()[1] for _ in range(8)]
assert not any(ends), "not all came through"
"""
BOMB = f"""
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{MARK}"])
while True:
    try:
        os.fork()
        os.setsid()
    except OSError:
        time.sleep(0.5)
"""
THREADS = """
import threading
while True:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
GREEDS = {
    "endless import": Greed(code="while True: pass", ends=(HUNG,)),
    "endless output": Greed(code="while True: print('x' * 10000)", ends=(HUNG,), says="left out"),
    "a fork bomb": Greed(code=BOMB, ends=(HUNG,)),
    "a memory hog": Greed(
        code="x = []\nwhile True: x.append(b'x' * (1 << 26))", ends=(RAISED, SIGNALLED)
    ),
    "many memory hogs": Greed(code=HOGS, ends=(RAISED, SIGNALLED, HUNG)),
    "a full disk": Greed(code=FILL, ends=(RAISED,), says="No space left on device"),
    "threads without end": Greed(code=THREADS, ends=(RAISED, SIGNALLED)),
    "open files without end": Greed(
        code="x = []\nwhile True: x.append(open('/dev/null'))",
        ends=(RAISED, EXITED),
        says="Too many open files",
    ),
}


@pytest.mark.parametrize("greed", GREEDS)
def test_a_trial_ends_at_its_own_limit(observe: Observe, engine: Engine, greed: str) -> None:
    """The module after it in the same wheel, and other trials meanwhile, are none the worse."""
    if greed == "many memory hogs" and engine.name == "bubblewrap":
        need_control_groups()
    one, name = GREEDS[greed], greed.replace(" ", "_")
    with ThreadPoolExecutor(2) as pool:
        greedy = pool.submit(observe, name, {"aa.py": one.code, "zz.py": ""}, LIMIT)
        beside = [observe(f"calm_{n}", {"calm.py": ""}, LIMIT) for n in range(3)]
        seen = greedy.result()
    assert [found.status for calm in beside for found in calm.imports] == [ImportStatus.OK] * 3
    found = {outcome.name: outcome for outcome in seen.imports}
    assert found["aa"].status in one.ends, found["aa"]
    assert one.says in f"{found['aa'].message}\n{found['aa'].output}", found["aa"]
    assert len(found["aa"].output) < 70_000
    assert found["zz"].status is ImportStatus.OK, found["zz"]
    assert seen.duration < LIMIT + BEYOND
    assert processes_with(f"sleep {MARK}") == []


@pytest.mark.parametrize("greed", ["a hundred thousand files"])
def test_a_wheel_of(observe: Observe, greed: str) -> None:
    assert greed == "a hundred thousand files"
    files = {f"many/{n // 1000}/{n}.txt": "" for n in range(100_000)}
    seen = observe("many", {"aa.py": "", **files}, 600.0)
    assert seen.install is not None
    assert seen.install.ok, seen.install
    assert [(found.name, found.status) for found in seen.imports] == [("aa", ImportStatus.OK)]
