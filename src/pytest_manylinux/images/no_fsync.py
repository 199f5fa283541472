"""Run a command whose writes are not forced to the disk one by one.

    python no_fsync.py PROGRAM COMMAND [ARGUMENT...]

dpkg asks the kernel some thousand times per root to write a file out before it goes on, so that a
crash of the machine leaves a system that boots. A root that is made aside and renamed when it is
whole has no use for that, and on a slow disk waits a good part of its making for it. A system call
filter (PROGRAM: `engines.seccomp.no_sync_program`, in hexadecimal) answers those calls with success,
for the command and all that it starts; all is written out once, when the root is adopted
(`writing_out` in cache/directories.py).

Where the kernel does not take the filter, the command runs without it. This file is also run by its
path, with nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class _Filter(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def without_fsync(program: bytes, argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `argv` under the filter `program`."""
    return (sys.executable, "-I", "-S", os.fspath(Path(__file__)), program.hex(), *argv)


def _main(program: bytes, argv: list[str]) -> None:
    """Become the command, filtered if the kernel takes the filter."""
    words = _Filter(len(program) // 8, program)
    ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(words), 0, 0)
    os.execvp(argv[0], argv)  # noqa: S606 -- no shell is the point


if __name__ == "__main__":
    _main(bytes.fromhex(sys.argv[1]), sys.argv[2:])
