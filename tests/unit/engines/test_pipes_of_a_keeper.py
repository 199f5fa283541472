"""What comes through the pipes between us and what runs a command: all of it, and then the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable

from pytest_manylinux.engines.bubblewrap import supervisor
from pytest_manylinux.engines.bubblewrap.supervisor import PendingRequest

MUCH = b"x" * 50_000  # fits into a pipe


def run(work: Callable[[int, int], None], *, timeout: float = 60.0) -> tuple[bytes, object]:
    """Have `work` write to the pipe of an output and to that of the answer.

    Gives what came of the output, and the answer, None if there was none in time.
    """
    came, pipes = bytearray(), (os.pipe(), os.pipe())
    theirs = tuple(end for _, end in pipes)
    threading.Thread(target=work, args=theirs, daemon=True).start()
    with PendingRequest([end for end, _ in pipes]) as asked:
        in_time = asked.take([came.extend], timeout=timeout)
        return bytes(came), asked.answer() if in_time else None


def test_an_answer_does_not_overtake_the_output() -> None:
    def work(output: int, answer: int) -> None:
        os.write(output, MUCH)
        os.write(answer, b"{}")
        os.close(answer)  # the output stays open: something left behind holds it

    assert run(work) == (MUCH, {})


def test_what_goes_on_writing_is_not_waited_for() -> None:
    """As `yes &` does: there is always more to read."""

    def work(output: int, answer: int) -> None:
        os.write(output, MUCH)
        os.write(answer, b"{}")
        os.close(answer)
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(output, MUCH)

    came, answer = run(work)
    assert came.startswith(MUCH)
    assert answer == {}


def test_what_never_pauses_is_timed_out_too() -> None:
    def work(output: int, answer: int) -> None:
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(output, MUCH)
        os.close(answer)

    came, answer = run(work, timeout=0.5)
    assert came.startswith(MUCH)
    assert answer is None


def test_at_the_deadline_there_is_all_that_was_written() -> None:
    def work(output: int, answer: int) -> None:
        del answer
        os.write(output, MUCH)

    came, answer = run(work, timeout=0.5)
    assert (came, answer) == (MUCH, None)


PROGRAM_BY_NAME = """
import os, sys
sys.path.insert(0, sys.argv[1])
import supervisor_main
sys.path.clear()
sys.path_importer_cache.clear()
os.execvpe("true", ["true"], dict(os.environ))
"""


def test_a_keeper_needs_no_library_to_start_a_program_by_name() -> None:
    """It has the sandbox's root by then."""
    folder = str(supervisor._PROGRAM.parent)
    command = [sys.executable, *supervisor._ALONE, "-c", PROGRAM_BY_NAME, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
