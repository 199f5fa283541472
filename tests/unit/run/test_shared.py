from __future__ import annotations

import copy
import multiprocessing
from functools import partial
from pathlib import Path

import pytest
from asked_once import ask

from pytest_manylinux import errors
from pytest_manylinux.cache.locks import once_per_run
from pytest_manylinux.errors import BuildError, ManylinuxError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ManylinuxError)
]


def test_several_processes_do_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(partial(ask, tmp_path), range(6)) == ["result"] * 6
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "x"


def test_an_error_is_everybody_s(tmp_path: Path) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise BuildError("no", why="because", remedy="do", finding="extension-not-built")

    for _ in range(2):
        with pytest.raises(BuildError, match="because") as caught:
            once_per_run(tmp_path, ("key",), work)
        assert caught.value.finding == "extension-not-built"
    assert calls == [1]


def test_other_keys_are_other_work(tmp_path: Path) -> None:
    assert once_per_run(tmp_path, ("a", "b"), lambda: 1) == 1
    assert once_per_run(tmp_path, ("ab", ""), lambda: 2) == 2


def test_alone_there_is_nothing_to_share() -> None:
    assert once_per_run(None, ("key",), lambda: 1) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_the_way_between_processes(kind: type[ManylinuxError]) -> None:
    error = copy.copy(kind("what", why="why", remedy="next"))  # by way of __reduce__, like pickle
    assert type(error) is kind
    assert str(error) == "what\n  why: why\n  next: next"
