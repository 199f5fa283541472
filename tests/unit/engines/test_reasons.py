"""An error about a program that failed always has a reason, also where the program said nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.api import Command, Completed, Engine, SandboxSpec, Status
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.host.subprocesses import reason_of
from pytest_manylinux.model.distro import Image, ImageSource, Interpreter
from pytest_manylinux.trials.request import INPUTS
from pytest_manylinux.trials.venv import prepared_venv


def ended(
    status: Status, code: int | None = None, number: int | None = None, words: bytes = b""
) -> Completed:
    return Completed(
        status=status,
        exit_code=code,
        signal=number,
        stdout=b"",
        stderr=words,
        truncated=False,
        duration=300.4,
    )


ENDINGS = [
    (ended(Status.TIMED_OUT), "it did not end within 300 s, without a word"),
    (ended(Status.SIGNALLED, number=11), "killed by SIGSEGV, without a word"),
    (ended(Status.EXITED, 1), "exit code 1, without a word"),
    (ended(Status.EXITED, 139), "exit code 139, killed by SIGSEGV, without a word"),
    (ended(Status.LOST), "the sandbox was lost, without a word"),
    (ended(Status.EXITED, 1, words=b"no ensurepip\n"), "no ensurepip (exit code 1)"),
    (ended(Status.TIMED_OUT, words=b"slow\n"), "slow (it did not end within 300 s)"),
]


@pytest.mark.parametrize(("completed", "reason"), ENDINGS)
def test_a_command_in_a_sandbox(completed: Completed, reason: str) -> None:
    assert completed.reason() == reason


@given(st.integers(min_value=-64, max_value=255), st.text(" \nab", max_size=5))
def test_a_program_of_this_machine(code: int, words: str) -> None:
    assert reason_of(code, words).strip()


def test_its_own_words_come_first() -> None:
    assert reason_of(2, "tar: no such file\n") == "tar: no such file"
    assert reason_of(-9, "") == "killed by SIGKILL, without a word"


class _Sandbox:
    def __init__(self, completed: Completed) -> None:
        self._completed = completed
        self.asked: list[tuple[str, ...]] = []

    def exec(self, command: Command) -> Completed:
        self.asked.append(command.argv[1:])
        return self._completed


class _Engine:
    """Gives a sandbox in which every command ends in one way."""

    def __init__(self, completed: Completed) -> None:
        self.sandbox = _Sandbox(completed)

    @contextlib.contextmanager
    def open(self, spec: SandboxSpec) -> Iterator[_Sandbox]:
        assert spec.label == "venv of debian-12"
        yield self.sandbox


@pytest.mark.parametrize(
    ("completed", "next_step"),
    [
        (ended(Status.TIMED_OUT), "when the machine has less to do"),
        (ended(Status.SIGNALLED, number=11), "needs Python with its venv module"),
        (ended(Status.EXITED, 1, words=b"No module named venv"), "needs Python with its venv module"),
    ],
)
def test_a_venv_that_cannot_be_made(completed: Completed, next_step: str, tmp_path: Path) -> None:
    image = Image(digest="sha256:0", name="debian-12", source=ImageSource.ARCHIVE, arch=host_arch())
    interpreter = cast("Interpreter", SimpleNamespace(executable="/usr/bin/python3"))
    engine = _Engine(completed)
    with pytest.raises(ImageError, match="no virtual environment") as caught:
        prepared_venv(image, interpreter, cast("Engine", engine), tmp_path)
    assert caught.value.why == completed.reason()
    assert next_step in caught.value.remedy
    own, *plain = engine.sandbox.asked
    assert own == (str(INPUTS / "make_venv.py"), "/scratch/venv")
    has_time = completed.status is not Status.TIMED_OUT
    assert plain == [("-m", "venv", "--clear", "/scratch/venv")] * has_time
