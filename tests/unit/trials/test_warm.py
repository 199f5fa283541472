"""Whatever is odd about a preloaded process gives no answer, and is never asked a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import msgspec
import pytest

from pytest_manylinux.engines.api import (
    INBOX,
    Completed,
    Limits,
    Mount,
    Sandbox,
    SandboxSpec,
    Status,
)
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.model.distro import Image, ImageSource, Interpreter
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import (
    VENV,
    Errand,
    PreparedVenv,
    SuiteSteps,
    VenvLayout,
    make_request,
)

FINE = Completed(
    status=Status.EXITED, exit_code=0, signal=None, stdout=b"", stderr=b"", truncated=False, duration=0
)
LAYOUT = VenvLayout(
    entries=(),
    heavy=(),
    purelib="lib",
    platlib="lib",
    scripts="bin",
    data=".",
    seeded=frozenset({"pip", "setuptools"}),
)


@dataclass
class Server:
    ending: Completed | Exception
    closed: bool = False

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        assert mounts
        assert timeout
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    def close(self) -> None:
        self.closed = True


@dataclass
class Engine:
    """Starts servers whose runs all end in one way, or none at all; none for a single run."""

    ending: Completed | Exception = FINE
    failure: Exception | None = None
    asked: int = 0
    servers: list[Server] = field(default_factory=list)
    name: str = "made-up"
    caution: str = ""
    limits: Limits = field(default_factory=Limits)

    def version(self) -> str:
        return "1"

    def open(self, spec: SandboxSpec) -> Sandbox:
        raise NotImplementedError(spec)

    def close(self) -> None:
        pass

    def preload(
        self,
        spec: SandboxSpec,
        interpreter: str,
        code: str,
        *,
        setup: str = "",
        inbox: PurePosixPath = INBOX,
        max_runs: int | None = None,
    ) -> Server:
        assert (spec.network, interpreter) == (False, f"{VENV}/bin/python")
        assert setup.endswith(f" {VENV}")
        assert spec.limits == self.limits
        compile(code, "code", "exec")
        if max_runs == 1:
            return self.single(inbox)
        self.asked += 1
        if self.failure:
            raise self.failure
        self.servers.append(Server(self.ending))
        return self.servers[-1]

    def single(self, inbox: PurePosixPath) -> Server:
        raise SandboxError(f"none for a single run, with {inbox}")


@pytest.fixture
def errand(tmp_path: Path) -> Errand:
    venv = PreparedVenv(layout=LAYOUT, folder=tmp_path)
    python = Interpreter(
        version=parse_python("3.11"), executable="/usr/bin/python3", packages=(), pip="23.0.1"
    )
    return Errand(
        image=Image(
            digest="sha256:1", name="debian-12", arch="x86_64", source=ImageSource.ARCHIVE, root="/"
        ),
        interpreter=python,
        venv=venv,
        request=make_request(venv, (), 10.0),
        label="a trial",
    )


def test_a_server_is_kept_for_the_next_trial_of_the_same_image(errand: Errand) -> None:
    engine = Engine()
    warm = PreloadedPool(engine)
    assert warm.attempt(errand) == warm.attempt(errand) == FINE
    assert warm.attempt(replace(errand, image=replace(errand.image, digest="sha256:2"))) == FINE
    assert engine.asked == 2
    warm.close()
    assert all(server.closed for server in engine.servers)


@pytest.mark.parametrize(
    "ending",
    [
        replace(FINE, exit_code=1),
        replace(FINE, status=Status.SIGNALLED, exit_code=None, signal=9),
        replace(FINE, status=Status.LOST, exit_code=None),
        replace(FINE, status=Status.TIMED_OUT, exit_code=None),
        SandboxError("odd"),
        OSError("odd"),
    ],
    ids=["exit code", "signal", "lost", "timeout", "error", "system error"],
)
def test_a_run_that_does_not_end_well_is_no_answer(
    errand: Errand, ending: Completed | Exception
) -> None:
    engine = Engine(ending)
    warm = PreloadedPool(engine)
    assert warm.attempt(errand) is None
    assert [server.closed for server in engine.servers] == [True]


@pytest.mark.parametrize("failure", [SandboxError("no"), EngineError("no"), OSError("no")])
def test_a_server_that_does_not_start_is_not_tried_again(errand: Errand, failure: Exception) -> None:
    engine = Engine(failure=failure)
    warm = PreloadedPool(engine)
    assert warm.attempt(errand) is warm.attempt(errand) is None
    assert engine.asked == 1


@dataclass
class Container(Engine):
    """Has programs that wait, too."""

    waited: list[Server] = field(default_factory=list)

    def single(self, inbox: PurePosixPath) -> Server:
        assert inbox.is_absolute()
        self.waited.append(Server(self.ending))
        return self.waited[-1]


def test_where_no_fork_server_starts_a_program_that_waits_does_it(errand: Errand) -> None:
    engine = Container(failure=SandboxError("no namespaces"))
    warm = PreloadedPool(engine)
    assert [warm.attempt(errand), warm.attempt(errand)] == [FINE, FINE]
    assert (engine.asked, len(engine.waited)) == (1, 2)
    warm.close()
    assert all(one.closed for one in engine.waited)


def test_where_they_start_none_waits(errand: Errand) -> None:
    engine = Container()
    warm = PreloadedPool(engine)
    assert [warm.attempt(errand), warm.attempt(errand)] == [FINE, FINE]
    assert (engine.asked, engine.waited) == (1, [])
    warm.close()


def test_what_a_fork_server_is_not_for(errand: Errand) -> None:
    engine = Engine()
    warm = PreloadedPool(engine)
    for other in (
        replace(errand, network=True),
        replace(errand, environment={"A": "b"}),
        replace(errand, limits=Limits(memory=1)),
        replace(errand, replaced=("setuptools",)),
    ):
        assert warm.attempt(other) is None
    assert engine.asked == 0


MUCH = Limits(processes=4096)


def with_tests(errand: Errand) -> Errand:
    steps = SuiteSteps(script="pytest", timeout=60.0)
    return replace(errand, limits=MUCH, request=msgspec.structs.replace(errand.request, suite=steps))


def test_tests_have_a_process_that_ends_with_them_in_a_sandbox_with_their_limits(
    errand: Errand,
) -> None:
    engine = Container(limits=MUCH)
    pool = PreloadedPool(engine)
    assert [pool.attempt(with_tests(errand)), pool.attempt(with_tests(errand))] == [FINE, FINE]
    assert (engine.asked, len(engine.waited)) == (0, 2)
    pool.close()
    assert all(one.closed for one in engine.waited)


@pytest.mark.parametrize(
    "ending",
    [
        replace(FINE, status=Status.SIGNALLED, exit_code=None, signal=9),
        replace(FINE, status=Status.LOST, exit_code=None),
        replace(FINE, status=Status.TIMED_OUT, exit_code=None),
    ],
    ids=["signal", "lost", "timeout"],
)
def test_tests_are_not_run_twice_however_they_end(errand: Errand, ending: Completed) -> None:
    engine = Container(ending, limits=MUCH)
    pool = PreloadedPool(engine)
    assert pool.attempt(with_tests(errand)) == ending
    pool.close()
    assert [one.closed for one in engine.waited] == [True]


def test_an_engine_without_fork_servers(errand: Errand) -> None:
    class Plain:
        name = "plain"
        version = open = close = lambda *_: None

    assert PreloadedPool(Plain()).attempt(errand) is None  # type: ignore[arg-type]


def test_nothing_begins_once_it_is_closed(errand: Errand) -> None:
    engine = Engine()
    warm = PreloadedPool(engine)
    warm.close()
    with pytest.raises(SandboxError, match="cut short"):
        warm.attempt(errand)
    assert engine.asked == 0
