"""What every sandbox's commands find around them, whatever the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_manylinux.engines.api import MIB, Cache, Mount
from pytest_manylinux.errors import SandboxError

USER = 1000
"""User and group id inside a sandbox."""

SHARED_MEMORY = 64 * MIB
"""Bytes of /dev/shm: what container engines give too."""

# Root of the host without capabilities may still write sysctls (core_pattern runs a program as
# root), and bubblewrap leaves these writable when root starts it: access(2) says no, write says yes.
READ_ONLY_PROC = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr", "asound")
_BASE = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/scratch/home",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
}
_OWN_NAME = "127.0.1.1 sandbox\n"  # a machine resolves its own name (Debian Reference, 5.1.1)
_HOSTS = "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost\n"


def clean_environment(added: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a command: ours, and what it adds or overrides."""
    return {**_BASE, **added}


def user_database(passwd: str, group: str, *, uid: int = USER, gid: int = USER) -> dict[str, str]:
    """The image's /etc/passwd and /etc/group with our user: `getpwuid` works for a distro's users."""
    return {
        "/etc/passwd": f"{_without(passwd, uid)}user:x:{uid}:{gid}::/scratch/home:/bin/sh\n",
        "/etc/group": f"{_without(group, gid)}user:x:{gid}:\n",
    }


def _without(table: str, number: int) -> str:
    """The lines whose third field is another number."""
    lines = [line for line in table.splitlines() if line and line.split(":")[2:3] != [str(number)]]
    return "".join(f"{line}\n" for line in lines)


def generated_files(root: Path, *, network: bool) -> dict[str, str]:
    """Small files that a root needs to be a machine: users, host names, name servers.

    With `network` the host's own name servers and host names, since its network is used, and beside
    them the sandbox's name.
    """
    files = user_database(_read(root / "etc/passwd"), _read(root / "etc/group"))
    if network:
        files["/etc/resolv.conf"] = _read(Path("/etc/resolv.conf"))
        names = _read(Path("/etc/hosts")).rstrip("\n")
        files["/etc/hosts"] = f"{names}\n{_OWN_NAME}" if names else _HOSTS
    elif (root / "etc/hosts").is_file():
        files["/etc/hosts"] = _HOSTS
    return files


def check_mounts(mounts: Iterable[Mount | Cache]) -> None:
    """Raise SandboxError for a source that is not there and for a target that is no place."""
    for mount in mounts:
        if not mount.source.exists():
            raise SandboxError(f"{mount.source} is to be seen in the sandbox but does not exist")
        parts = mount.target.parts
        if not mount.target.is_absolute() or len(parts) < 2 or ".." in parts:  # noqa: PLR2004
            raise SandboxError(f"{mount.target} is no place for a mount: an absolute path is needed")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
