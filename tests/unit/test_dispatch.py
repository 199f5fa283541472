from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_manylinux.run.tasks import Away, Graph, Overview


def _note(into: list[object], what: object, _: object) -> None:
    into.append(what)


def test_a_task_is_handed_the_futures_of_its_needs_even_failed_ones() -> None:
    graph = Graph(2)
    graph.add("good", lambda _: 1)
    graph.add("bad", lambda _: 1 / 0)
    both = graph.add(
        "both",
        lambda done: (done[0].result(), type(done[1].exception())),
        needs=["good", "bad"],
    )
    assert both.result(timeout=10) == (1, ZeroDivisionError)
    graph.stop()


def test_a_key_runs_once() -> None:
    graph = Graph(2)
    calls: list[int] = []
    first = graph.add("key", lambda _: calls.append(1))
    assert graph.add("key", lambda _: calls.append(2)) is first
    first.result(timeout=10)
    assert calls == [1]
    graph.stop()


def test_stop_cancels_what_has_not_begun() -> None:
    graph = Graph(1)
    began, go = threading.Event(), threading.Event()

    def work(_: object) -> str:
        began.set()
        go.wait(10)
        return "ended"

    running = graph.add("running", work)
    waiting = graph.add("waiting", lambda _: 1)
    depending = graph.add("depending", lambda _: 1, needs=["running"])
    assert began.wait(10)
    graph.stop()
    go.set()
    assert running.result(timeout=10) == "ended"
    for future in (waiting, depending):
        with pytest.raises(CancelledError):
            future.result(timeout=10)


@settings(deadline=None, max_examples=30)
@given(
    jobs=st.integers(1, 4),
    edges=st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30),
)
def test_needs_end_before_those_who_need_them(jobs: int, edges: list[list[int]]) -> None:
    graph = Graph(jobs)
    ended: list[object] = []
    futures = []
    for position, needs in enumerate(edges):
        earlier = [need for need in needs if need < position]
        futures.append(graph.add(position, partial(_note, ended, position), needs=earlier))
    for future in futures:
        future.result(timeout=10)
    graph.stop()
    assert set(ended) == set(range(len(edges)))
    assert len(ended) == len(edges)
    for position, needs in enumerate(edges):
        for need in needs:
            if need < position:
                assert ended.index(need) < ended.index(position)


def test_of_the_ready_the_heaviest_begins_then_the_first_added() -> None:
    graph = Graph(1)
    gate = threading.Event()
    began: list[object] = []
    graph.add("gate", lambda _: gate.wait(10))
    futures = [
        graph.add(name, partial(_note, began, name), weight=weight)
        for name, weight in [("light", 0.0), ("heavy", 2.0), ("second", 0.0)]
    ]
    gate.set()
    for future in futures:
        future.result(timeout=10)
    graph.stop()
    assert began == ["heavy", "light", "second"]


@pytest.mark.parametrize(("jobs", "waits"), [(1, True), (2, True), (3, False)])
def test_on_few_cores_the_rest_waits_for_the_first_verdict(jobs: int, *, waits: bool) -> None:
    graph = Graph(jobs)
    go = threading.Event()
    started: list[object] = []
    first = partial(graph.add, "first", lambda _: go.wait(10))
    rest = partial(graph.add, "rest", partial(_note, started, "rest"))
    graph.begin([first], [rest])
    assert ("rest" not in graph) is waits
    go.set()
    first().result(timeout=10)
    rest().result(timeout=10)
    assert started == ["rest"]
    graph.stop()


def test_nothing_begins_after_the_end() -> None:
    graph = Graph(1)
    go = threading.Event()
    graph.add("busy", lambda _: go.wait(10))
    graph.begin([partial(graph.add, "first", lambda _: None)], [partial(graph.add, "rest", print)])
    graph.stop()
    go.set()
    assert "rest" not in graph


def test_with_nothing_to_be_first_all_begins() -> None:
    graph = Graph(1)
    rest = partial(graph.add, "rest", lambda _: 1)
    graph.begin([lambda: None], [rest])
    assert rest().result(timeout=10) == 1
    graph.stop()


def test_the_longest_way_begins_first() -> None:
    """What a heavy task needs is as urgent as the task, whenever that was added."""
    graph = Graph(1)
    began, go = threading.Event(), threading.Event()
    order: list[object] = []

    def hold(_: object) -> None:
        began.set()
        go.wait(10)

    graph.add("busy", hold)
    assert began.wait(10)
    for name in ("light", "root", "facts"):
        graph.add(name, partial(_note, order, name))
    last = graph.add("light trial", partial(_note, order, "light trial"), needs=["light"], weight=1.0)
    heavy = graph.add("trial", partial(_note, order, "trial"), needs=["facts", "root"], weight=9.0)
    go.set()
    last.result(timeout=10)
    heavy.result(timeout=10)
    graph.stop()
    assert order == ["root", "facts", "trial", "light", "light trial"]


def test_what_is_left_and_how_long_it_may_take() -> None:
    graph = Graph(1)
    began, go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        began.set()
        go.wait(10)

    graph.add(("trial", "known"), lambda _: None, weight=100.0).result(timeout=10)
    running = graph.add(("image", "a"), hold)
    graph.add(("trial", "b"), lambda _: None, weight=100.0)
    assert began.wait(10)
    seen = graph.overview()
    assert (seen.left, [key for key, _ in seen.running]) == (2, [("image", "a")])
    assert seen.seconds is None  # no image was made yet, and no history says how long one takes
    go.set()
    running.result(timeout=10)
    graph.add(("image", "c"), lambda _: None).result(timeout=10)
    assert graph.overview() == Overview(left=0, running=(), seconds=0.0)
    graph.stop()


def test_work_that_is_away_takes_no_place_and_is_finished_here() -> None:
    graph = Graph(1)
    far: Future[int] = Future()
    sent = graph.add("sent", lambda _: Away(future=far, then=lambda done: done.result() + 1))
    assert graph.add("meanwhile", lambda _: "done").result(timeout=10) == "done"
    assert not sent.done()
    far.set_result(41)
    assert sent.result(timeout=10) == 42
    graph.stop()


def test_what_went_wrong_elsewhere_is_for_the_finishing_to_judge() -> None:
    graph = Graph(1)
    far: Future[int] = Future()
    sent = graph.add("sent", lambda _: Away(future=far, then=lambda done: repr(done.exception())))
    far.set_exception(ValueError("lost"))
    assert sent.result(timeout=10) == "ValueError('lost')"
    graph.stop()


def test_stop_cancels_what_is_away() -> None:
    graph = Graph(1)
    far: Future[int] = Future()
    sent = graph.add("sent", lambda _: Away(future=far, then=lambda done: done.result()))
    graph.add("after", lambda _: None).result(timeout=10)
    graph.stop()
    assert far.cancelled()
    with pytest.raises(CancelledError):
        sent.result(timeout=10)
