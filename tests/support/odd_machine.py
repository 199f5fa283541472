"""Start a program on a machine that lacks something: `python odd_machine.py LACK… -- PROGRAM…`.

The program is an ordinary user's (1000, without rights) in user and mount namespaces of its own,
whoever starts it; outside it stays who it was. With `root` first it is the superuser's of these
namespaces, which may set no groups. A LACK is one of the functions below, `name` or `name=value`, done
in their order before the program takes this process's place. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

USER = 1000  # the id that the program has
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # clone(2)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = (
    *(1, 2, 4, 8, 32, 4096, 16384, 1 << 18),  # mount(2)
)
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode(), flags, options.encode())
    _check(_LIBC.mount(*words), f"mount {target}")


def bound(places: str) -> None:
    """SOURCE:TARGET, both folders: the one is seen at the other."""
    source, _, target = places.partition(":")
    _mount(source, target, "", _BIND | _REC)


def read_only(folder: str) -> None:
    """Nothing can be written below a folder."""
    _mount(folder, folder, "", _BIND | _REC)
    kept = os.statvfs(folder).f_flag & (_NOSUID | _NODEV | _NOEXEC)
    _mount("", folder, "", _BIND | _REMOUNT | _RDONLY | kept)


def no_exec(folder: str) -> None:
    """A folder is empty, and no program in it can be started."""
    _mount("none", folder, "tmpfs", _NOEXEC | _NOSUID | _NODEV)


def empty(folder: str) -> None:
    """Nothing is in a folder, and nothing can be put there."""
    _mount("none", folder, "tmpfs", _RDONLY)


def no_shared_memory(_: str) -> None:
    """/dev has devices and no shm."""
    aside = tempfile.mkdtemp()
    _mount("/dev", aside, "", _BIND | _REC)
    _mount("none", "/dev", "tmpfs", 0)
    for name in _DEVICES:
        Path("/dev", name).touch()
        _mount(f"{aside}/{name}", f"/dev/{name}", "", _BIND)
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1"}.items():
        Path("/dev", name).symlink_to(target)
    _check(_LIBC.umount2(aside.encode(), 2), "umount")
    Path(aside).rmdir()


def no_namespaces(_: str) -> None:
    """The kernel gives no user namespaces."""
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def no_filters(_: str) -> None:
    """A kernel without CONFIG_SECCOMP_FILTER: prctl says EINVAL, seccomp(2) ENOSYS. x86_64 only."""
    load, equal, answer = 0x20, 0x15, 0x06  # linux/bpf_common.h: an absolute word, a comparison, ret
    refuse, allow = 0x00050000, 0x7FFF0000  # SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
    code = [
        (load, 0, 0, 0),  # the call's number
        (equal, 0, 1, 317),  # seccomp
        (answer, 0, 0, refuse | 38),
        (equal, 0, 3, 157),  # prctl
        (load, 0, 0, 16),  # its first argument
        (equal, 0, 1, _PR_SET_SECCOMP),
        (answer, 0, 0, refuse | 22),
        (answer, 0, 0, allow),
    ]
    packed = b"".join(struct.pack("HBBI", *line) for line in code)
    program = ctypes.create_string_buffer(packed)
    words = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _check(_LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.create_string_buffer(words), 0, 0), "prctl")


def unset(name: str) -> None:
    """A variable is not in the environment."""
    os.environ.pop(name, None)


def closed(number: str) -> None:
    """One of the standard streams is closed."""
    os.close(int(number))


LACKS: dict[str, Callable[[str], None]] = {
    lack.__name__: lack
    for lack in (
        *(bound, read_only, no_exec, empty, no_shared_memory),
        *(no_namespaces, no_filters, unset, closed),
    )
}


def main(lacks: list[str], program: list[str]) -> None:
    """Become `program` on such a machine."""
    user, group = os.geteuid(), os.getegid()
    inside = USER
    if lacks[:1] == ["root"]:
        inside = 0
        del lacks[0]
    _check(_LIBC.unshare(_NEWUSER | _NEWNS), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")
    _mount("none", "/", "", _REC | _PRIVATE)
    for lack in lacks:
        name, _, value = lack.partition("=")
        LACKS[name](value)
    os.execvp(program[0], program)  # noqa: S606 - an ordinary user's loses what rights there were


if __name__ == "__main__":
    border = sys.argv.index("--")
    main(sys.argv[1:border], sys.argv[border + 1 :])
