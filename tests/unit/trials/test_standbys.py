"""What waits for trials is used once, counted, and gone in the end; what is odd gives no answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pytest

from pytest_manylinux.engines.api import INBOX, Completed, Mount, Sandbox, SandboxSpec, Status
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.model.distro import Image, ImageSource, Interpreter
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import (
    LAYOUT_FILE,
    VENV,
    Errand,
    PreparedVenv,
    VenvLayout,
    make_request,
)

FINE = Completed(
    status=Status.EXITED, exit_code=0, signal=None, stdout=b"", stderr=b"", truncated=False, duration=0
)
KEY, OTHER = ("sha256:1", "python3"), ("sha256:2", "python3")


@dataclass
class One:
    """Runs once."""

    ran: int = 0
    closed: bool = False

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        assert timeout
        assert not mounts
        self.ran += 1
        return FINE

    def close(self) -> None:
        self.closed = True


@dataclass
class Maker:
    """Starts them, or fails."""

    failure: Exception | None = None
    made: list[One] = field(default_factory=list)
    may: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> One:
        self.may.wait(60)
        if self.failure:
            raise self.failure
        self.made.append(One())
        return self.made[-1]


Run = Callable[["One"], "Completed | None"]


@dataclass
class Asked:
    """One of them, asked by a pool to run as one attempt wants it run."""

    one: One
    owner: Standbys

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        assert timeout
        assert mounts
        ending = self.owner.run(self.one)
        if ending is None:
            raise SandboxError("odd")
        return ending

    def close(self) -> None:
        self.one.close()


class Standbys:
    """A pool on an engine that has processes for a single run only, started as each attempt says."""

    name, caution = "made-up", ""

    def __init__(self) -> None:
        self.pool = PreloadedPool(self)
        self.run: Run = run
        self.starts: dict[str, Callable[[], One]] = {}

    def version(self) -> str:
        return "1"

    def open(self, spec: SandboxSpec) -> Sandbox:
        raise NotImplementedError(spec)

    def preload(
        self,
        spec: SandboxSpec,
        interpreter: str,
        code: str,
        *,
        setup: str = "",
        inbox: PurePosixPath = INBOX,
        max_runs: int | None = None,
    ) -> Asked:
        assert (interpreter, bool(code), inbox.is_absolute()) == (f"{VENV}/bin/python", True, True)
        assert setup.endswith(f" {VENV}")
        record = next(mount for mount in spec.mounts if mount.source.name == LAYOUT_FILE)
        assert inbox not in record.target.parents  # it would be linked, and the cache's seal broken
        if max_runs != 1:
            raise SandboxError("no namespaces")
        return Asked(self.starts[spec.image.name](), self)

    def attempt(
        self, key: tuple[str, str], start: Callable[[], One], run: Run, more: int
    ) -> Completed | None:
        self.run, name = run, str(len(self.starts))
        self.starts[name] = start
        return self.pool.attempt(errand(key, name), more)

    def close(self) -> None:
        self.pool.close()


def errand(key: tuple[str, str], name: str) -> Errand:
    layout = VenvLayout(
        entries=(), heavy=(), purelib="", platlib="", scripts="", data="", seeded=frozenset()
    )
    venv = PreparedVenv(layout=layout, folder=Path())
    python = Interpreter(version=parse_python("3.11"), executable=key[1], packages=(), pip="23.0.1")
    image = Image(digest=key[0], name=name, arch="x86_64", source=ImageSource.ARCHIVE, root="/")
    return Errand(
        image=image, interpreter=python, venv=venv, request=make_request(venv, (), 10.0), label="trial"
    )


def run(standby: object) -> Completed:
    assert isinstance(standby, One)
    return standby.run((), timeout=1)


@pytest.fixture
def start() -> Maker:
    maker = Maker()
    maker.may.set()
    return maker


@pytest.fixture
def standbys() -> Iterator[Standbys]:
    standbys = Standbys()
    yield standbys
    standbys.close()


def test_each_runs_once_and_no_more_are_started_than_trials_come(
    standbys: Standbys, start: Maker
) -> None:
    for more in reversed(range(5)):
        assert standbys.attempt(KEY, start, run, more) == FINE
    standbys.close()
    assert [one.ran for one in start.made] == [1] * 5
    assert all(one.closed for one in start.made)


def test_what_was_started_for_nothing_is_closed(standbys: Standbys, start: Maker) -> None:
    assert standbys.attempt(KEY, start, run, 1000) == FINE
    standbys.close()
    assert 1 < len(start.made) < 10
    assert sum(one.ran for one in start.made) == 1
    assert all(one.closed for one in start.made)


def test_images_do_not_share_and_are_bounded_together(standbys: Standbys) -> None:
    makers = [Maker() for _ in range(30)]
    for number, maker in enumerate(makers):
        maker.may.set()
        assert standbys.attempt((str(number), "python3"), maker, run, 1000) == FINE
    standbys.close()
    assert all(len([one for one in maker.made if one.ran]) == 1 for maker in makers)
    assert sum(len(maker.made) - 1 for maker in makers) <= 16


@pytest.mark.parametrize("failure", [SandboxError("no"), EngineError("no"), OSError("no")])
def test_an_image_that_gave_trouble_is_not_tried_again(standbys: Standbys, failure: Exception) -> None:
    start = Maker(failure)
    start.may.set()
    assert standbys.attempt(KEY, start, run, 0) is None
    start.failure = None
    assert standbys.attempt(KEY, start, run, 5) is None
    assert start.made == []
    assert standbys.attempt(OTHER, start, run, 0) == FINE


def here_and_ahead(here: Maker, ahead: Maker) -> Callable[[], One]:
    """One maker for the thread of a test, another for what is started ahead."""
    ours = threading.current_thread()
    return lambda: here() if threading.current_thread() is ours else ahead()


def test_trouble_with_one_started_ahead_is_no_answer(standbys: Standbys, start: Maker) -> None:
    ahead = Maker(SandboxError("no"))
    ahead.may.set()
    assert standbys.attempt(KEY, here_and_ahead(start, ahead), run, 1) == FINE
    assert standbys.attempt(KEY, start, run, 0) is None


@pytest.mark.parametrize(
    "ending", [None, replace(FINE, exit_code=1), replace(FINE, status=Status.LOST, exit_code=None)]
)
def test_a_run_that_does_not_end_well_is_no_answer(
    standbys: Standbys, start: Maker, ending: Completed | None
) -> None:
    assert standbys.attempt(KEY, start, lambda _: ending, 0) is None
    assert standbys.attempt(KEY, start, run, 0) == FINE


def test_a_run_that_raises_leaves_none(standbys: Standbys, start: Maker) -> None:
    def fail(_: object) -> Completed:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        standbys.attempt(KEY, start, fail, 0)
    standbys.close()
    assert [one.closed for one in start.made] == [True]


def test_one_that_is_being_started_when_all_ends_is_closed(start: Maker) -> None:
    standbys = Standbys()
    ahead = Maker()
    assert standbys.attempt(KEY, here_and_ahead(start, ahead), run, 1) == FINE
    closing = threading.Thread(target=standbys.close)
    closing.start()
    ahead.may.set()
    closing.join(60)
    assert all(one.closed for one in (*start.made, *ahead.made))
    with pytest.raises(SandboxError, match="cut short"):
        standbys.attempt(KEY, start, run, 0)
