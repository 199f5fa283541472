"""User namespaces of this machine: programs that run in one, and settings that forbid them.

The program becomes the first process of a new process namespace with its own mounts. When it ends,
or when this process dies in whatever way, the kernel ends everything in the namespace, and the
mounts go with the last of it. An ordinary user gets the same inside a user namespace, with the
subordinate ids of /etc/subuid.

Everything that runs without a daemon needs user namespaces: bubblewrap, rootless containers, and the
making of roots by an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.subprocesses import as_root, install_command, reason_of

SETTINGS = Path("/proc/sys")
# A setting, the value that forbids, and the one that allows.
_FORBIDDING = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)


def forbidding_settings(settings: Path = SETTINGS) -> Iterator[tuple[str, str, str]]:
    """Each setting that forbids them: its name, its value, and the command that allows them."""
    for path, forbids, allows in _FORBIDDING:
        try:
            value = (settings / path).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            name = path.replace("/", ".")
            yield name, value, as_root(f"sysctl -w {name}={allows}")


def allowing_namespaces(settings: Path = SETTINGS) -> str:
    """The command that allows user namespaces, with the reason; empty if no setting forbids them."""
    found = next(forbidding_settings(settings), None)
    return f"{found[2]} (the kernel's {found[0]} is {found[1]})" if found else ""


def forbidding_all(settings: Path = SETTINGS) -> tuple[str, str] | None:
    """A setting that lets no program of an ordinary user have them, and the command that allows them.

    AppArmor's is none of these: it exempts programs that have a profile, as Podman may.
    """
    for name, value, command in forbidding_settings(settings):
        if "apparmor" not in name:
            return f"{name} is {value}", command
    return None


# A parent that died before setpriv took hold would leave us running: compare the parent's id.
_GUARD = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"'


def contained(argv: Sequence[str]) -> tuple[str, ...]:
    """Put `argv` into a namespace of its own; the thread that starts it must wait for it.

    Raises ImageError if the machine lacks what that takes.
    """
    guard, unshare = _need("setpriv"), _need("unshare")
    users = () if os.geteuid() == 0 else _map_users(unshare)
    return (
        *(guard, "--pdeathsig", "KILL"),
        *("sh", "-c", _GUARD, "sh", str(os.getpid())),
        *(unshare, *users, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
        *argv,
    )


def _map_users(unshare: str) -> tuple[str, ...]:
    _need("newuidmap")
    _probe(unshare)  # first: where the kernel refuses, subordinate ids are of no use
    user = pwd.getpwuid(os.geteuid()).pw_name
    for name in ("subuid", "subgid"):
        if not _has_range(Path("/etc") / name, user):
            raise ImageError(
                f"{user} has no subordinate ids in /etc/{name}, which making a root takes",
                remedy=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
    return ("--user", "--map-root-user", "--map-auto")


def _probe(unshare: str) -> None:
    """Raise ImageError if the kernel refuses: with --map-auto unshare would hang for ever then."""
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ImageError(
            "this user may not make a user namespace, which making a root takes",
            why=reason_of(done.returncode, done.stderr),
            remedy=allowing_namespaces() or "run as root, or allow unprivileged user namespaces",
        )


def _has_range(path: Path, user: str) -> bool:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in {user, str(os.geteuid())} for line in lines)


def _need(program: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise ImageError(
            f"{program} is required to create root filesystems, but is not installed",
            remedy=install_command(program),
        )
    return found
