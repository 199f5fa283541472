"""Copying out of a sandbox onto a disk that has no room."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

import pytest

from pytest_manylinux.engines import transfer
from pytest_manylinux.engines.api import Command, Completed, Sink, Status
from pytest_manylinux.errors import SandboxError


class Program:
    """A command that writes `blocks`, and counts what was taken of them."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = blocks
        self.taken = 0

    def __call__(self, command: Command, stdin: IO[bytes] | None, sink: Sink | None) -> Completed:
        assert (command.argv[0], stdin) == ("tar", None)
        assert sink is not None
        for block in self.blocks:
            sink(block)
            self.taken += 1
        return Completed(
            status=Status.EXITED,
            exit_code=0,
            signal=None,
            stdout=b"",
            stderr=b"",
            truncated=False,
            duration=0.0,
        )


def test_a_full_disk_is_told_when_the_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(b"a" * 512, b"b" * 512)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
        with pytest.raises(OSError, match="No space left") as caught:
            transfer.fetch(program, PurePosixPath("/scratch/built"), tmp_path / "built", bound=1024)
    assert caught.value.errno == errno.ENOSPC
    assert program.taken == 2, "an error before its end would have closed the sandbox"


def test_more_than_may_be_copied_ends_the_command(tmp_path: Path) -> None:
    program = Program(*[bytes(1024**2)] * 66)
    with pytest.raises(SandboxError, match="too big"):
        transfer.fetch(program, PurePosixPath("/scratch/built"), tmp_path / "built", bound=1024)
    assert program.taken == 64
