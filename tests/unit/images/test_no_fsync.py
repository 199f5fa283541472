"""Writes that are not waited for: seen by what fsync says of a descriptor that is not open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.engines.seccomp import no_sync_program
from pytest_manylinux.images.no_fsync import without_fsync

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
    assert ask(tmp_path, *without_fsync(no_sync_program(), ())) == ["None", "None", "0", "True"]


def test_a_command_without_the_right_to_filter_runs_all_the_same(tmp_path: Path) -> None:
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    assert ask(tmp_path, *drop, *without_fsync(no_sync_program(), ()))[-1] == "True"
