"""Run a command whose writes are not forced to the disk one by one.

    python unsynced.py COMMAND [ARGUMENT...]

dpkg asks the kernel some thousand times per root to write a file out before it goes on, so that a
crash of the machine leaves a system that boots. A root that is made aside and renamed when it is
whole has no use for that, and waits for the disk for a good part of its making. A seccomp filter
answers those calls with success (seccomp(2): SECCOMP_RET_ERRNO with 0), for the command and all that
it starts; whoever wants the files on the disk asks for them all once, in the end (`write_out`).

Where the kernel or the architecture does not take the filter, the command runs as ever. This file is
run by its path too, with nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Numbers of fsync, fdatasync, sync, syncfs, sync_file_range by the kernel's name of the machine
# (audit.h: AUDIT_ARCH_*; the tables in arch/*/entry/syscalls and asm-generic/unistd.h).
_CALLS = {
    "x86_64": {
        0xC000003E: (74, 75, 162, 306, 277),
        0x40000003: (118, 148, 36, 344, 314),  # i386 programs on the same kernel
    },
    "aarch64": {0xC00000B7: (82, 83, 81, 267, 84)},
}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW, _SUCCEED = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 0
_PR_SET_SECCOMP, _FILTER_MODE = 22, 2


def program(machine: str) -> bytes:
    """The filter for a kernel of `machine` as struct sock_filter[]; empty for an unknown one."""
    calls = _CALLS.get(machine)
    return b"".join(_instructions(calls)) if calls else b""


def _instructions(calls: Mapping[int, tuple[int, ...]]) -> Iterator[bytes]:
    for architecture, numbers in calls.items():
        yield _instruction(_LOAD, _ARCHITECTURE)
        yield _instruction(_EQUAL, architecture, otherwise=len(numbers) + 3)
        yield _instruction(_LOAD, _NUMBER)
        for position, number in enumerate(numbers):
            yield _instruction(_EQUAL, number, then=len(numbers) - position)
        yield _instruction(_RETURN, _ALLOW)
        yield _instruction(_RETURN, _SUCCEED)
    yield _instruction(_RETURN, _ALLOW)


def _instruction(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def install(machine: str) -> bool:
    """Put the filter on this process for good; false if it is not to be had."""
    code = program(machine)
    if not code:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    whole = Program(len(code) // 8, ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(whole), 0, 0) == 0)


def unsynced(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `argv` so."""
    return (sys.executable, "-I", "-S", os.fspath(Path(__file__)), *argv)


def write_out(folder: Path) -> None:
    """Have the kernel write out all that the file system of `folder` still holds in memory."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            ctypes.CDLL(None).syncfs(handle)
        finally:
            os.close(handle)


if __name__ == "__main__":
    install(platform.machine())
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 -- no shell is the point
