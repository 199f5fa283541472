"""Run a command in a user namespace in which an emulator is registered.

The arguments are the registration and the command.

A program of its own, because a process with threads cannot enter a user namespace. Standard library
only. In the namespace the user is root of nothing but what was the user's already.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_REC_PRIVATE = 0x44000
_BINFMT = "/proc/sys/fs/binfmt_misc"


def register(registration: str) -> None:
    """Enter new user and mount namespaces and register the emulator there; raises OSError."""
    user, group = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        Path("/proc/self", name).write_text(text)
    _check(_LIBC.mount(b"none", b"/", None, _MS_REC_PRIVATE, None), "mount")
    _check(_LIBC.mount(b"none", _BINFMT.encode(), b"binfmt_misc", 0, None), "mount binfmt_misc")
    Path(_BINFMT, "register").write_text(registration)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    register(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the caller's own command
