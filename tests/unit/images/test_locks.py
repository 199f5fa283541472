from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_manylinux.cache.locks import hold_alone, hold_shared, in_turn
from pytest_manylinux.errors import RunEndedError
from pytest_manylinux.host.shutdown import Shutdown


def test_several_may_share_and_none_is_alone_then(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    first, second = hold_shared(path), hold_shared(path)
    assert first is not None
    assert second is not None
    assert hold_alone(path) is None
    os.close(first)
    assert hold_alone(path) is None
    os.close(second)
    alone = hold_alone(path)
    assert alone is not None
    assert hold_shared(path) is None
    os.close(alone)


def test_a_missing_file_is_made_only_on_request(tmp_path: Path) -> None:
    assert hold_alone(tmp_path / "file") is None
    assert hold_shared(tmp_path / "file") is None
    held = hold_alone(tmp_path / "file", create=True)
    assert held is not None
    os.close(held)


def test_who_waits_for_a_turn_is_told_and_gets_it(tmp_path: Path) -> None:
    told = threading.Event()
    with ThreadPoolExecutor(1) as other, in_turn(tmp_path / "lock"):
        turn = other.submit(_take, tmp_path / "lock", told.set)
        assert told.wait(60)
        assert not turn.done()
    assert turn.result() == "taken"
    with in_turn(tmp_path / "lock", waiting=lambda: pytest.fail("nobody holds it")):
        pass


def test_the_end_of_a_run_ends_its_waiting_for_a_turn(tmp_path: Path) -> None:
    run, told = Shutdown(), threading.Event()
    with in_turn(tmp_path / "lock"), ThreadPoolExecutor(1, initializer=run.enter) as threads:
        turn = threads.submit(_take, tmp_path / "lock", told.set)
        assert told.wait(60)
        run.end()
        with pytest.raises(RunEndedError):
            turn.result(timeout=60)


def _take(path: Path, waiting: Callable[[], object]) -> str:
    with in_turn(path, waiting=waiting):
        return "taken"
