from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_manylinux.errors import RunEndedError
from pytest_manylinux.host import shutdown as lifetimes
from pytest_manylinux.host.shutdown import Shutdown, lifetime, run_program


def test_the_end_stops_what_is_waited_for_and_nothing_that_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifetimes, "_TIDYING", 0.1)
    run, stopped = Shutdown(), []
    with run.stopping(lambda: stopped.append("first")):
        pass
    with run.stopping(lambda: stopped.append("second")):
        run.check()
        run.end()
    assert stopped == ["second"]
    with pytest.raises(RunEndedError, match="run has ended"):
        run.check()


def test_the_end_waits_until_all_is_tidied_up() -> None:
    run, stop = Shutdown(), threading.Event()
    tidied: list[str] = []

    def work() -> None:
        with run.stopping(stop.set):
            begun.set()
            stop.wait()
            tidied.append("done")

    begun = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(work)
        assert begun.wait(60)
        run.end()
        assert tidied == ["done"]


def test_what_begins_after_the_end_is_stopped_at_once() -> None:
    run, stopped = Shutdown(), []
    run.end()
    with run.stopping(lambda: stopped.append("late")):
        assert stopped == ["late"]


def test_a_thread_belongs_to_its_run_and_others_to_none() -> None:
    run = Shutdown()
    with ThreadPoolExecutor(1, initializer=run.enter) as threads:
        assert threads.submit(lifetime).result() is run
        run.end()
        with pytest.raises(RunEndedError):
            threads.submit(lambda: lifetime().check()).result()
    lifetime().check()


def test_a_program_ends_with_the_run() -> None:
    run = Shutdown()
    with ThreadPoolExecutor(1, initializer=run.enter) as threads:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        done = threads.submit(run_program, command, environment={}, timeout=500)
        run.end()
        assert isinstance(done.result(timeout=60), subprocess.CompletedProcess)
        assert done.result().returncode != 0
