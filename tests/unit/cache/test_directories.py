"""Folders made once: by one maker, whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.cache import integrity
from pytest_manylinux.cache.directories import ASIDE, make_once, put_in_place, writing_out
from pytest_manylinux.cache.integrity import is_whole
from pytest_manylinux.errors import StoreError, ToolchainError

FILES = st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.binary(max_size=20), max_size=3)

PROCESS = """
import sys
from pathlib import Path
from pytest_manylinux.cache import integrity
from pytest_manylinux.cache.directories import make_once

def make(folder):
    with (Path(sys.argv[1]) / "made").open("a") as count:
        count.write("x")
    for number in range(50):
        (folder / str(number)).write_text("content")

sys.stdin.readline()
folder = make_once(Path(sys.argv[1]) / "cache/thing", make)
assert sum(path.read_text() == "content" for path in folder.glob("[0-9]*")) == 50
"""


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "seal.json"
    }


def test_processes_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path)], stdin=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        process.communicate(b"\n")
    assert [process.returncode for process in processes] == [0] * 4
    assert (tmp_path / "made").read_text() == "x"
    assert list((tmp_path / "cache" / ASIDE).iterdir()) == []


def test_a_maker_that_is_killed_leaves_nothing_that_is_taken_for_finished(tmp_path: Path) -> None:
    killed = PROCESS.replace("range(50)", "range(49)").replace(
        "\nsys.stdin", "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n\nsys.stdin"
    )
    process = subprocess.Popen([sys.executable, "-c", killed, str(tmp_path)], stdin=subprocess.PIPE)
    process.communicate(b"\n")
    assert process.returncode == -9
    assert not (tmp_path / "cache/thing").exists()
    assert len([path for path in (tmp_path / "cache" / ASIDE).iterdir() if path.is_dir()]) == 1
    make_once(tmp_path / "cache/thing", lambda folder: write(folder, {"a": b"1"}))
    assert read(tmp_path / "cache/thing") == {"a": b"1"}
    assert list((tmp_path / "cache" / ASIDE).iterdir()) == []


@given(content=FILES, threads=st.integers(1, 4))
def test_threads_get_what_one_of_them_made(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], threads: int
) -> None:
    target = tmp_path_factory.mktemp("once") / "thing"
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        write(folder, content)

    with ThreadPoolExecutor(threads) as pool:
        found = [pool.submit(make_once, target, make) for _ in range(threads)]
        assert [read(one.result()) for one in found] == [content] * threads
    assert len(made) == 1


@given(content=FILES.filter(bool), data=st.data())
def test_a_damaged_folder_is_made_again(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], data: st.DataObject
) -> None:
    target = tmp_path_factory.mktemp("damaged") / "thing"
    make_once(target, lambda folder: write(folder, content))
    damaged = target / data.draw(st.sampled_from(sorted(content)))
    match data.draw(st.sampled_from(["gone", "other bytes", "one more", "no seal"])):
        case "gone":
            damaged.unlink()
        case "other bytes":
            damaged.write_bytes(damaged.read_bytes() + b"x")
        case "one more":
            (target / "more").touch()
        case "no seal":
            (target / "seal.json").unlink()
    integrity._known.clear()  # as in another process: each looks once
    make_once(target, lambda folder: write(folder, {"made": b"again"}))
    assert read(target) == {"made": b"again"}


def test_what_the_maker_raises_leaves_what_was_there(tmp_path: Path) -> None:
    target = make_once(tmp_path / "thing", lambda folder: write(folder, {"a": b"1"}))

    def fail(folder: Path) -> None:
        write(folder, {"a": b"2"})
        raise ToolchainError("no index")

    with pytest.raises(ToolchainError):
        make_once(target, fail, usable=lambda _: False)
    assert read(target) == {"a": b"1"}
    make_once(target, lambda folder: write(folder, {"b": b"3"}), usable=lambda _: False)
    assert read(target) == {"b": b"3"}
    assert list((tmp_path / ASIDE).iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no room left"),
        (errno.EROFS, "cannot be used"),
        (errno.EIO, "fails"),
    ],
)
def test_a_disk_that_refuses_is_named(tmp_path: Path, number: int, words: str) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(number, os.strerror(number), str(folder))

    with pytest.raises(StoreError, match=f"tools cannot be kept: .*{words}") as caught:
        make_once(tmp_path / "thing", refuse, doing="tools cannot be kept")
    assert os.strerror(number) in caught.value.why
    assert caught.value.remedy
    assert not (tmp_path / "thing").exists()


def test_a_connection_that_breaks_is_not_the_disk(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise ConnectionResetError("peer")

    with pytest.raises(ConnectionResetError):
        make_once(tmp_path / "thing", refuse)


def test_it_is_announced_only_when_it_is_made(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        make_once(tmp_path / "thing", lambda _: None, announce=lambda: said.append("making"))
    assert said == ["making"]


def test_a_finished_folder_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place/old").touch()
    (tmp_path / "fresh").mkdir()
    write(tmp_path / "fresh", {"new": b"1"})
    put_in_place(tmp_path / "fresh", tmp_path / "place")
    assert read(tmp_path / "place") == {"new": b"1"}
    assert is_whole(tmp_path / "place")


def test_what_is_written_out_meanwhile_has_been_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, going, over = threading.Event(), threading.Event(), list[str]()

    class Library:
        @staticmethod
        def syncfs(handle: int) -> int:
            over.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
            begun.set()
            assert going.wait(10)
            over.append("written")
            return 0

    monkeypatch.setattr("pytest_manylinux.cache.directories.ctypes.CDLL", lambda _: Library)
    with writing_out(tmp_path):
        assert begun.wait(10)
        assert over == [str(tmp_path)]
        going.set()
    assert over == [str(tmp_path), "written"]


@pytest.mark.parametrize("name", ["", "none"])
def test_writing_out_takes_any_folder(tmp_path: Path, name: str) -> None:
    with writing_out(tmp_path / name):
        pass
    assert list(tmp_path.iterdir()) == []
