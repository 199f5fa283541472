"""Writes that nobody waits for: seen by what fsync says of a descriptor that is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.images.unsynced import program, unsynced, write_out

_ASK = """
import ctypes, os, sys
for call in (os.fsync, os.fdatasync, ctypes.CDLL(None, use_errno=True).syncfs):
    try:
        print(call(999))
    except OSError as error:
        print(error.errno)
print(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY) > 2)
"""


def ask(tmp_path: Path, *before: str) -> list[str]:
    command = (*before, sys.executable, "-c", _ASK, str(tmp_path / "new"))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may not; a root is made in a namespace")
def test_syncing_calls_succeed_without_being_made_and_all_others_are(tmp_path: Path) -> None:
    assert ask(tmp_path) == ["9", "9", "-1", "True"]  # EBADF
    assert ask(tmp_path, *unsynced(())) == ["None", "None", "0", "True"]


def test_a_command_without_the_right_to_filter_runs_all_the_same(tmp_path: Path) -> None:
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    assert ask(tmp_path, *drop, *unsynced(()))[-1] == "True"


def test_the_filter_is_whole_instructions_and_none_for_an_unknown_machine() -> None:
    assert len(program("x86_64")) % 8 == 0
    assert program("aarch64") != program("x86_64") != b""
    assert program("vax") == b""


def test_writing_out_takes_any_folder(tmp_path: Path) -> None:
    write_out(tmp_path)
    write_out(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
