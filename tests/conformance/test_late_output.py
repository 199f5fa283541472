"""Output that a daemon delivers late: no end overtakes the words before it.

A proxy holds the streams back (late_daemon.py), so that a command's or a run's end, the daemon's own
answers, and the other stream come before them. The sandbox is the engine's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import pytest
from late_daemon import STDERR, STDOUT, Lateness, late_engine
from sandboxes import eventually, sh

from pytest_manylinux.engines.api import Completed, Engine, Mount, SandboxSpec, Status
from pytest_manylinux.engines.container import sandbox
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.engines.output import INCOMPLETE
from pytest_manylinux.errors import SandboxError

pytestmark = pytest.mark.parametrize("where", ["docker", "podman"], indirect=True)

# Longer than any pause after which the engines ask the daemon whether the command still runs.
LATE = 2.5
BOTH = frozenset({STDOUT, STDERR})
CODE = """
def work():
    with open("/tmp/in/run.py") as file:
        exec(file.read(), {})
"""
PYTHON = "/usr/bin/python3"
INBOX = PurePosixPath("/tmp/in")  # noqa: S108 - the sandbox's own
Late: TypeAlias = tuple[ContainerEngine, Lateness]
Run: TypeAlias = Callable[[str, float], Completed]


@pytest.fixture
def late(engine: Engine) -> Iterator[Late]:
    with late_engine(engine) as late:
        yield late


@pytest.fixture(params=["exec", "standby", "fork"])
def run(request: pytest.FixtureRequest, late: Late, spec: SandboxSpec, tmp_path: Path) -> Iterator[Run]:
    """Run a Python program in each of the ways that the engine has, with a timeout in seconds."""
    engine, _ = late
    with ExitStack() as stack:

        def mounts(program: str) -> Sequence[Mount]:
            (tmp_path / "run.py").write_text(program)
            return (Mount(source=tmp_path / "run.py", target=INBOX / "run.py"),)

        match request.param:
            case "exec":
                sandbox = stack.enter_context(engine.open(spec))
                yield lambda program, timeout: sh(
                    sandbox, f"exec {PYTHON} -c '{program}'", timeout=timeout
                )
            case "standby":
                standby = stack.enter_context(
                    engine.preload(spec, PYTHON, CODE, inbox=INBOX, max_runs=1)
                )
                yield lambda program, timeout: standby.run(mounts(program), timeout=timeout)
            case _:
                server = stack.enter_context(engine.preload(spec, PYTHON, CODE))
                yield lambda program, timeout: server.run(mounts(program), timeout=timeout)


@pytest.mark.parametrize("stream", [STDOUT, STDERR], ids=["stdout", "stderr"])
def test_an_end_comes_with_all_words(run: Run, late: Late, stream: int) -> None:
    late[1].streams, late[1].seconds = frozenset({stream}), LATE
    ended = run('print("said"); 1 / 0', 60)
    assert set(late[1].held) == {stream}
    assert (ended.status, ended.exit_code, ended.output_complete) == (Status.EXITED, 1, True)
    assert ended.stdout == b"said\n"
    assert ended.stderr.endswith(b"ZeroDivisionError: division by zero\n")


def test_a_timeout_comes_with_all_words(run: Run, late: Late) -> None:
    late[1].streams, late[1].seconds = BOTH, LATE
    ended = run('import os, time; os.write(1, b"out"); os.write(2, b"err"); time.sleep(600)', 2)
    assert (ended.status, ended.output_complete) == (Status.TIMED_OUT, True)
    assert (ended.stdout, ended.stderr) == (b"out", b"err")


def test_a_lost_sandbox_comes_with_all_words(late: Late, spec: SandboxSpec, tmp_path: Path) -> None:
    """The container is gone, and the daemon knows it, before the words come."""
    engine, lateness = late
    program = tmp_path / "run.py"
    program.write_text("""
import os, time
os.write(1, b"out"), os.write(2, b"err")
time.sleep(600)
""")
    with (
        engine.preload(spec, PYTHON, CODE, inbox=INBOX, max_runs=1) as standby,
        ThreadPoolExecutor(1) as pool,
    ):
        lateness.streams, lateness.seconds = BOTH, LATE
        mounts = [Mount(source=program, target=INBOX / "run.py")]
        running = pool.submit(standby.run, mounts, timeout=60)
        said, words = {STDOUT: b"out", STDERR: b"err"}, lateness.words
        assert eventually(lambda: all(text in words.get(stream, b"") for stream, text in said.items()))
        assert isinstance(standby._program, sandbox.ContainerSandbox)
        engine.api.kill(standby._program._container)
        ended = running.result()
    assert (ended.status, ended.stdout, ended.stderr) == (Status.LOST, b"out", b"err")
    assert ended.output_complete


@pytest.mark.parametrize("run", ["standby", "fork"], indirect=True)
@pytest.mark.parametrize("stream", [STDOUT, STDERR])
def test_words_that_are_lost_are_said_to_be(
    run: Run, late: Late, stream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark that does not come tells; the streams of commands have none, their ends are the marks."""
    monkeypatch.setattr(sandbox, "_LATE", 1.0)
    late[1].streams, late[1].lost = frozenset({stream}), True
    ended = run('print("said"); 1 / 0', 60)
    assert ended.status is (Status.LOST if stream == STDOUT else Status.EXITED)
    assert (ended.output_complete, ended.ok) == (False, False)
    assert ended.stderr.endswith(INCOMPLETE)


def test_an_end_that_never_comes_is_not_waited_for_forever(
    run: Run, late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_LATE", 1.0)
    late[1].streams, late[1].seconds = BOTH, 30.0
    ended = run('print("said"); 1 / 0', 4)
    assert not ended.output_complete
    assert not ended.ok
    assert ended.stderr.endswith(INCOMPLETE)


def test_a_sandbox_that_does_not_start_says_all_its_words(late: Late, spec: SandboxSpec) -> None:
    engine, lateness = late
    lateness.streams, lateness.seconds = frozenset({STDERR}), LATE
    with pytest.raises(SandboxError) as caught:
        engine.preload(spec, PYTHON, "raise ValueError('because')", inbox=INBOX, max_runs=1)
    assert "because" in str(caught.value.why)


def test_words_of_the_preparation_are_none_of_a_runs(
    late: Late, spec: SandboxSpec, tmp_path: Path
) -> None:
    """They may come when the program is ready, or when the run has begun."""
    engine, lateness = late
    lateness.streams, lateness.seconds = frozenset({STDERR}), LATE
    code = f"import os; os.write(2, b'a warning')\n{CODE}"
    (tmp_path / "run.py").write_text("1 / 0")
    with engine.preload(spec, PYTHON, code, inbox=INBOX, max_runs=1) as standby:
        mounts = [Mount(source=tmp_path / "run.py", target=INBOX / "run.py")]
        ended = standby.run(mounts, timeout=60)
    assert ended.stderr.startswith(b"Traceback")
