"""Large collections: what an item takes, and that what is made when it is read is as pytest has it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from collecting import FOUR

BOUND = 1300
"""Bytes for an item of a given wheel, its share of the wheel's own included."""
PURE = [f"demo{number}-1.0-py3-none-any.whl" for number in range(300)]


class Collected:
    """Takes the items of a session."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def make(pytester: pytest.Pytester, count: int) -> Path:
    folder = pytester.path / f"dist{count}"
    folder.mkdir(exist_ok=True)
    for name in PURE[:count]:
        (folder / name).touch()
    return folder


def collect(pytester: pytest.Pytester, count: int, *more: str) -> Collected:
    folder, found = make(pytester, count), Collected()
    pytester.inline_run("--manylinux", "--collect-only", "-qq", FOUR, *more, folder, plugins=[found])
    return found


METER = """
import gc, tracemalloc

tracemalloc.start(1)

def pytest_collection_finish(session):
    gc.collect()
    print("traced", len(session.items), tracemalloc.get_traced_memory()[0])
"""


def test_garbage_is_looked_for_seldom_and_afterwards_as_before(pytester: pytest.Pytester) -> None:
    before, during = gc.get_threshold(), []

    class Noting:
        def pytest_collection_finish(self) -> None:
            during.append(gc.get_threshold())

    make(pytester, 1)
    for words in ((), ("--manylinux", FOUR)):
        pytester.inline_run("--collect-only", "-qq", *words, "dist1", plugins=[Noting()])
        assert gc.get_threshold() == before
    assert during[0] == before
    assert during[1][0] > before[0]


def test_an_item_takes_little_memory(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(meter=METER)
    traced = []
    for count in (20, 300):
        make(pytester, count)
        words = ("--manylinux", "--collect-only", "-qq", FOUR, f"dist{count}")
        result = pytester.runpytest_subprocess("-p", "meter", *words)
        traced.append(
            [list(map(int, s.split()[1:])) for s in result.outlines if s.startswith("traced")]
        )
    ((few, before),), ((many, after),) = traced
    assert many - few == 280 * 5
    assert (after - before) / (many - few) < BOUND


def test_what_is_made_when_it_is_read_is_each_items_own(pytester: pytest.Pytester) -> None:
    audit, one, other, *_ = collect(pytester, 1).items
    assert audit.extra_keyword_matches == set()
    assert {"debian-11", "debian", "cp39", "py3-none-any"} == one.extra_keyword_matches
    one.extra_keyword_matches.add("mine")
    one.user_properties.append(("mine", 1))
    one.add_marker(pytest.mark.usefixtures)
    assert "mine" in one.listextrakeywords()
    assert "mine" not in other.listextrakeywords()
    assert (one.user_properties, other.user_properties) == ([("mine", 1)], [])
    assert [mark.name for mark in one.iter_markers()] == ["manylinux", "usefixtures"]
    assert [mark.name for mark in other.iter_markers()] == ["manylinux"]
    assert "manylinux" in other.keywords


@pytest.mark.parametrize(
    ("words", "count"), [("-k=debian-11", 1), ("-k=cp311", 1), ("-m=manylinux", 5), ("-k=audit", 1)]
)
def test_items_are_chosen_by_what_is_made_when_it_is_read(
    pytester: pytest.Pytester, words: str, count: int
) -> None:
    assert len(collect(pytester, 1, words).items) == count
