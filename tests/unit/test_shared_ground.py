"""What the workers of one run share: made by the first of them, taken away by the last."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from shared_ground import Stay, shared_ground


@pytest.fixture(autouse=True)
def _one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "0123456789abcdef")


def test_the_first_makes_it_and_the_last_takes_it_away() -> None:
    told: list[str] = []

    def make(folder: Path) -> None:
        told.append("made")
        (folder / "pid").write_text("1")

    def remove(folder: Path) -> None:
        told.append(f"removed {(folder / 'pid').read_text()}")

    with ExitStack() as later:
        with shared_ground("daemon", make, remove) as mine:
            theirs = later.enter_context(shared_ground("daemon", make, remove))
            assert mine == theirs
        assert told == ["made"]
        assert mine.is_dir()
    assert told == ["made", "removed 1"]
    assert not mine.exists()
    with shared_ground("daemon", make, remove) as again:
        assert again == mine
    assert told == ["made", "removed 1"] * 2


def test_without_workers_nobody_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID")
    with (
        shared_ground("daemon", Path.exists, Path.exists) as one,
        shared_ground("daemon", Path.exists, Path.exists) as other,
    ):
        assert one != other


def test_what_was_half_made_is_taken_away() -> None:
    removed: list[Path] = []

    def fail(_: Path) -> None:
        raise OSError("it does not start")

    with pytest.raises(OSError, match="does not start"), shared_ground("daemon", fail, removed.append):
        pass
    (folder,) = removed
    assert not folder.exists()


def test_one_that_stays_finds_what_it_left() -> None:
    made: list[Path] = []
    removed: list[Path] = []
    stay = Stay()
    first = stay.on("daemon", made.append, removed.append)
    (first / "image").touch()
    assert (stay.on("daemon", made.append, removed.append) / "image").exists()
    assert (made, removed) == ([first], [])
    stay.end()
    assert removed == [first]
    assert not first.exists()
