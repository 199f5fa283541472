"""Whole runs during which the clock is set, as on a machine that wakes up."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.proof import read_proof

pytestmark = [pytest.mark.integration, pytest.mark.attack("fault", engine="bubblewrap", by="jump")]

# Sets the clock by DAYS as the first item begins; if there are two, by one and the other at each look.
JUMPS = """
import itertools, os, time

real, real_ns, begun = time.time, time.time_ns, []
days = [int(word) for word in os.environ["DAYS"].split()]
turns = itertools.cycle(days)

def pytest_runtest_logstart():
    begun.append(True)

def shift():
    return (next(turns) if begun or len(days) > 1 else 0) * 86400

time.time = lambda: real() + shift()
time.time_ns = lambda: real_ns() + shift() * 10**9
"""
JUMP = {"a day back": "-1", "a day forth": "1", "to and fro all the time": "-1 1"}
LONG = 3600.0  # seconds that no run of these takes


def run(place: Place, jump: str, name: str) -> WholeRun:
    environment = {"PYTHONPATH": str(place.folder), "PYTEST_MANYLINUX_CACHE": str(cache_root())}
    arguments = ["--manylinux-engine=bubblewrap", "--manylinux-image-source=archive", "-p", "jumps"]
    arguments += ["--manylinux-distros=debian-12", f"--junit-xml={place.out / 'junit.xml'}"]
    arguments += ["demo-1.0-py3-none-any.whl"]
    run = WholeRun(place, arguments, {**environment, "DAYS": JUMP[jump]}, name=name)
    assert run.end(within=300) == ExitCode.OK, run.words
    run.must_say_no_tracebacks()
    assert leftovers(run) == []
    return run


def durations(run: WholeRun) -> list[float]:
    """All that a run says of how long something took."""
    record = read_proof(run.proof).record
    [verdict] = run.trials()
    seen = verdict.observation
    assert seen is not None
    assert seen.install is not None
    junit = ET.parse(run.place.out / "junit.xml")  # noqa: S314 - pytest wrote it
    told = [float(case.attrib["time"]) for case in junit.iter("testcase")]
    imports = [outcome.duration for outcome in seen.imports]
    return [record.duration, seen.duration, seen.install.duration, *imports, *told]


@pytest.mark.parametrize("jump", JUMP)
def test_a_clock_that_is_set_during_a_run(tmp_path: Path, jump: str) -> None:
    """Nothing expires or takes less than no time, and what was seen is remembered."""
    place = Place(folder=tmp_path).make()
    (place.project / "pytest.ini").write_text("[pytest]\n")
    (place.folder / "jumps.py").write_text(JUMPS)
    build_wheel(place.project, {"demo.py": f"print({jump!r})"}, name="demo")
    first = run(place, jump, "first")
    assert len(first.passes()) == 1
    assert all(0 <= seconds < LONG for seconds in durations(first)), durations(first)
    again = run(place, jump, "again")
    assert all(0 <= seconds < LONG for seconds in durations(again)), durations(again)
    [verdict] = again.trials()
    assert verdict.observation is not None
    assert verdict.observation.remembered
