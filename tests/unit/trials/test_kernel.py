"""Trials on an older kernel: calls that it does not have fail with ENOSYS, all others go through."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trial_values import make_distro, make_elf, make_facts, make_observation

from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.diagnose.predict import targets_on
from pytest_manylinux.engines.seccomp import kernel_program, takes_filters
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus
from pytest_manylinux.model.system_calls import CALL_NUMBERS

SOURCE = Path(__file__).parents[3] / "src"
ASK = """
import ctypes, sys
from pytest_manylinux.trials.inside.processes import filter_calls
filter_calls(bytes.fromhex(sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
for number in sys.argv[2:]:
    ctypes.set_errno(0)
    libc.syscall(int(number), -1, 0, 0, 0, 0, 0)
    print(ctypes.get_errno())
"""


def answers(kernel: tuple[int, int], *names: str) -> list[int]:
    numbers = [str(CALL_NUMBERS[name]) for name in names]
    done = subprocess.run(
        [sys.executable, "-c", ASK, kernel_program(kernel).hex(), *numbers],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not takes_filters(), reason="this kernel takes no filter")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
def test_younger_calls_fail_and_older_ones_go_through() -> None:
    names = ("pidfd_send_signal", "close_range", "openat2", "statx", "memfd_create")
    assert answers((4, 18), *names)[:3] == [errno.ENOSYS] * 3
    assert errno.ENOSYS not in answers((4, 18), *names)[3:]
    assert answers((3, 10), *names) == [errno.ENOSYS] * 5
    assert errno.ENOSYS not in answers((5, 9), *names)


@pytest.mark.parametrize(
    ("raw", "value"), [("4.18", "4.18"), (" 5.15 ", "5.15"), ("distro", "distro"), ("", "")]
)
def test_the_setting_is_a_version_or_the_distros(raw: str, value: str) -> None:
    assert BY_NAME["kernel"].read(raw, "here") == value


@pytest.mark.parametrize("raw", [4.18, "4", "linux", True, "4.18-rc1"])
def test_what_the_setting_cannot_be(raw: object) -> None:
    with pytest.raises(UsageError):
        BY_NAME["kernel"].read(raw, "here")


def test_an_import_that_fails_so_is_named_with_the_calls_of_the_wheel() -> None:
    path = "demo/_x.cpython-311-x86_64-linux-gnu.so"
    facts = make_facts(elf=(make_elf(path, system_calls=("pidfd_open", "statx")),))
    outcome = ImportOutcome(
        name="demo",
        kind=ImportKind.TOP_LEVEL,
        status=ImportStatus.RAISED,
        exception="OSError",
        message="[Errno 38] Function not implemented",
    )
    (target,) = targets_on([make_distro()], "x86_64")
    dynamic = find_check("system-call-too-new").dynamic
    assert dynamic is not None
    (finding,) = dynamic(facts, make_observation(outcome, kernel="4.18"), target)
    assert finding.message == "import demo: a system call that Linux 4.18 does not have"
    assert finding.evidence[1:] == (f"{path}: pidfd_open of Linux 5.3",)
    assert list(dynamic(facts, make_observation(outcome), target)) == []
