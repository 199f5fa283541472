"""A Docker daemon that hangs in the middle of a run: no hang of ours, and nothing is proven."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from engine_grounds import engine_grounds
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed, tree, wait_for

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause, Outcome

pytestmark = [pytest.mark.integration, pytest.mark.attack("fault", engine="docker")]

SLEEP = "31.41593"  # seconds that nobody else sleeps
WAITS = f"import subprocess\nsubprocess.run(['sleep', '{SLEEP}'])\n"
# One answer that a daemon may take its time for (60 s), with some room for a machine under load.
LIMIT = 150


@pytest.mark.faults
def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    place = Place(folder=tmp_path).make()
    seed(place.cache)
    (place.project / "pytest.ini").write_text("[pytest]\n")
    build_wheel(place.project, {"a_waits.py": WAITS}, name="a-waits")
    for number in range(6):
        build_wheel(place.project, {f"good{number}.py": "x = 1\n"}, name=f"good{number}")
    before = tree(place.project)
    arguments = ["--manylinux-engine=docker", "--manylinux-image-source=archive"]
    arguments += ["--manylinux-distros=debian-12", "--manylinux-jobs=1", "."]
    with engine_grounds("docker") as grounds:
        run = WholeRun(place, arguments, name="hung")
        run.await_stage(lambda _: grounds.runs(f"sleep {SLEEP}", place))
        try:
            grounds.signal_daemon(signal.SIGSTOP)
            assert run.end(within=LIMIT) == ExitCode.NOT_PROVEN, run.words
        finally:
            grounds.signal_daemon(signal.SIGCONT)
        run.must_say_no_tracebacks()
        trials = run.trials()
        assert len(trials) == 7
        assert {(v.outcome, v.cause) for v in trials} == {(Outcome.NOT_PROVEN, Cause.ENGINE)}
        assert all("docker does not answer any more" in verdict.reason for verdict in trials)
        assert wait_for(lambda: [one for one in grounds.containers() if len(one) == 64] == [])
        assert leftovers(run) == []
        assert tree(place.project) == before
        again = WholeRun(place, arguments, name="again")
        assert again.end() == ExitCode.OK, again.words
