from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_manylinux.run.tasks import Overview, Tasks


@pytest.fixture
def made() -> Iterator[Callable[[int], Tasks]]:
    """Makes tasks on so many threads, and stops them."""
    found: list[Tasks] = []

    def make(jobs: int) -> Tasks:
        found.append(Tasks(jobs))
        return found[-1]

    yield make
    for tasks in found:
        tasks.stop()


class Held:
    """Blocking work that goes on until it is released."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.go.wait(10)
        return "ended"


def blocking(
    tasks: Tasks,
    key: object,
    work: Callable[[], object] = lambda: None,
    *,
    needs: tuple[object, ...] = (),
    weight: float = 0.0,
) -> Future[object]:
    """Start a task that does `work` in a thread when the tasks with the keys `needs` have ended."""

    async def begin() -> object:
        if begun := [tasks.once(need, never) for need in needs]:
            await asyncio.wait(begun)
        return await tasks.in_thread(work)

    return tasks.start(lambda: tasks.once(key, begin, weight=weight))


async def never() -> None:
    raise AssertionError("the task has begun already")


async def settled() -> None:
    """What was started before has begun when this ends."""
    await asyncio.sleep(0)


def held(tasks: Tasks) -> Held:
    """Work that keeps one thread busy."""
    found = Held()
    blocking(tasks, "busy", found)
    assert found.began.wait(10)
    return found


def test_a_task_waits_for_others_and_sees_their_errors(made: Callable[[int], Tasks]) -> None:
    tasks = made(2)

    async def bad() -> int:
        return await tasks.in_thread(lambda: 1 // 0)

    async def both() -> tuple[int, type[BaseException]]:
        one, other = tasks.once("good", good), tasks.once("bad", bad)
        with pytest.raises(ZeroDivisionError) as caught:
            await other
        return await one, caught.type

    async def good() -> int:
        return await tasks.in_thread(int, "1")

    assert tasks.start(lambda: tasks.once("both", both)).result(10) == (1, ZeroDivisionError)


def test_a_key_runs_once(made: Callable[[int], Tasks]) -> None:
    tasks, calls = made(2), list[int]()
    first = blocking(tasks, "key", lambda: calls.append(1))
    second = blocking(tasks, "key", lambda: calls.append(2))
    assert first.result(10) == second.result(10)
    assert calls == [1]


def test_no_more_threads_are_used_than_there_are(made: Callable[[int], Tasks]) -> None:
    tasks, lock, at_work, most = made(2), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.001)
        with lock:
            at_work -= 1

    for future in [blocking(tasks, number, work) for number in range(50)]:
        future.result(10)
    assert most == 2


def test_stop_cancels_what_has_not_begun(made: Callable[[int], Tasks]) -> None:
    tasks = made(1)
    busy = held(tasks)
    waiting = blocking(tasks, "waiting")
    depending = blocking(tasks, "depending", needs=("busy",))
    tasks.stop()
    for future in (waiting, depending, blocking(tasks, "later")):
        with pytest.raises(CancelledError):
            future.result(10)
    busy.go.set()


def test_stopping_again_or_before_anything_began() -> None:
    tasks = Tasks(1)
    tasks.stop()
    tasks.stop()
    with pytest.raises(CancelledError):
        blocking(tasks, "later").result(10)


@settings(deadline=None, max_examples=30)
@given(
    jobs=st.integers(1, 4),
    edges=st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30),
    weights=st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=30, max_size=30),
)
def test_needs_end_before_those_who_need_them(
    jobs: int, edges: list[list[int]], weights: list[float]
) -> None:
    tasks, ended = Tasks(jobs), list[int]()

    def start(position: int) -> Awaitable[None]:
        return tasks.once(position, lambda: work(position), weight=weights[position])

    async def work(position: int) -> None:
        needs = [start(need) for need in edges[position] if need < position]
        await tasks.in_thread(int)
        for need in needs:
            await need
        await tasks.in_thread(ended.append, position)

    for position in reversed(range(len(edges))):
        tasks.start(partial(start, position)).result(timeout=10)
    tasks.stop()
    assert sorted(ended) == list(range(len(edges)))
    for position, needs in enumerate(edges):
        for need in needs:
            if need < position:
                assert ended.index(need) < ended.index(position)


def test_of_the_ready_the_heaviest_begins_then_the_first_added(made: Callable[[int], Tasks]) -> None:
    tasks, began = made(1), list[str]()
    busy = held(tasks)
    futures = [
        blocking(tasks, name, partial(began.append, name), weight=weight)
        for name, weight in [("light", 0.0), ("heavy", 2.0), ("second", 0.0)]
    ]
    busy.go.set()
    for future in futures:
        future.result(10)
    assert began == ["heavy", "light", "second"]


def test_the_longest_way_begins_first(made: Callable[[int], Tasks]) -> None:
    """What a heavy task needs is as urgent as the task, whenever that was added."""
    tasks, order = made(1), list[str]()
    busy = held(tasks)

    def note(name: str, *needs: str, weight: float = 0.0) -> Future[object]:
        return blocking(tasks, name, lambda: order.append(name), needs=needs, weight=weight)

    for name in ("light", "root", "facts"):
        note(name)
    last = note("light trial", "light", weight=1.0)
    heavy = note("trial", "root", "facts", weight=9.0)
    busy.go.set()
    last.result(10)
    heavy.result(10)
    assert order == ["root", "facts", "trial", "light", "light trial"]


@pytest.mark.parametrize(("jobs", "waits"), [(1, True), (2, True), (3, False)])
def test_on_few_cores_the_rest_waits_for_the_first_verdict(
    made: Callable[[int], Tasks], jobs: int, *, waits: bool
) -> None:
    tasks, first, started = made(jobs), Held(), list[str]()

    def rest() -> Future[object]:
        return blocking(tasks, "rest", lambda: started.append("rest"))

    tasks.begin([lambda: blocking(tasks, "first", first)], [rest])
    assert first.began.wait(10)
    if waits:
        assert (tasks.overview().left, started) == (2, [])
        assert "rest" not in tasks
    else:
        rest().result(10)
    first.go.set()
    rest().result(10)
    assert started == ["rest"]


def test_only_so_many_of_the_rest_have_begun_and_not_ended(
    made: Callable[[int], Tasks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_manylinux.run.tasks._AHEAD", 3)
    tasks, works, begun = made(8), [Held() for _ in range(7)], list[int]()

    def start(number: int) -> Future[object]:
        begun.append(number)
        return blocking(tasks, number, works[number])

    tasks.begin([], [partial(start, 0), lambda: None, *(partial(start, n) for n in range(1, 7))])
    for number, work in enumerate(works):
        assert all(one.began.wait(10) for one in works[number : number + 3])
        assert begun == list(range(min(number + 3, 7)))
        assert tasks.overview().left == 7 - number
        work.go.set()
        assert blocking(tasks, number).result(10) == "ended"


def test_what_a_task_gave_is_held_without_the_task_until_it_is_forgotten(
    made: Callable[[int], Tasks],
) -> None:
    tasks, given = made(1), list[object]()

    def give() -> object:
        given.append(object())
        return given[-1]

    assert (
        blocking(tasks, "key", give).result(10) is blocking(tasks, "key", give).result(10) is given[0]
    )
    assert not [task for task in asyncio.all_tasks(tasks._running_loop()) if not task.done()]
    tasks.forget("key")
    tasks.forget("unknown")
    assert blocking(tasks, "key", give).result(10) is given[1]


def test_nothing_begins_after_the_end(made: Callable[[int], Tasks]) -> None:
    tasks = made(1)
    busy = held(tasks)
    tasks.begin([lambda: blocking(tasks, "first")], [lambda: blocking(tasks, "rest")])
    tasks.stop()
    busy.go.set()
    assert "rest" not in tasks


def test_with_nothing_to_be_first_all_begins(made: Callable[[int], Tasks]) -> None:
    tasks = made(1)
    tasks.begin([lambda: None], [lambda: blocking(tasks, "rest")])
    assert blocking(tasks, "rest").result(10) is None


def test_what_is_left_and_how_long_it_may_take(made: Callable[[int], Tasks]) -> None:
    tasks, image = made(1), Held()
    blocking(tasks, ("trial", "known"), weight=100.0).result(10)
    running = blocking(tasks, ("image", "a"), image)
    assert image.began.wait(10)
    waiting = blocking(tasks, ("trial", "b"), weight=100.0)
    tasks.start(settled).result(10)
    seen = tasks.overview()
    assert (seen.left, [key for key, _ in seen.running]) == (2, [("image", "a")])
    assert seen.seconds is None  # no image was made yet, and no history says how long one takes
    image.go.set()
    for future in (running, waiting, blocking(tasks, ("image", "c"))):
        future.result(10)
    assert tasks.overview() == Overview(left=0, running=(), seconds=0.0)


def test_what_is_elsewhere_takes_no_thread(made: Callable[[int], Tasks]) -> None:
    tasks, far = made(1), Future[int]()

    async def sent() -> int:
        return await tasks.elsewhere(far) + await tasks.in_thread(int, "1")

    future = tasks.start(lambda: tasks.once("sent", sent))
    assert blocking(tasks, "meanwhile", lambda: "done").result(10) == "done"
    assert not future.done()
    far.set_result(41)
    assert future.result(10) == 42


def test_what_went_wrong_elsewhere_is_for_the_task_to_judge(made: Callable[[int], Tasks]) -> None:
    tasks, far = made(1), Future[int]()

    async def sent() -> str:
        with pytest.raises(ValueError, match="lost"):
            await tasks.elsewhere(far)
        return "judged"

    future = tasks.start(lambda: tasks.once("sent", sent))
    far.set_exception(ValueError("lost"))
    assert future.result(10) == "judged"


def test_stop_cancels_what_is_elsewhere(made: Callable[[int], Tasks]) -> None:
    tasks, far, begun = made(1), Future[int](), threading.Event()

    async def sent() -> int:
        begun.set()
        return await tasks.elsewhere(far)

    future = tasks.start(lambda: tasks.once("sent", sent))
    assert begun.wait(10)
    blocking(tasks, "after").result(10)
    tasks.stop()
    assert far.cancelled()
    with pytest.raises(CancelledError):
        future.result(10)
