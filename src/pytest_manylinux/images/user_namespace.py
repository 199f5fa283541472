"""Run a program as user 0 of a user namespace, seeing only the files that it is to see.

bubblewrap makes the namespaces and the mounts, and ends everything inside when we die. Which ids there
are inside besides 0 differs: root has all of its own, with the same numbers; an ordinary user has the
subordinate ids of /etc/subuid and /etc/subgid where there are some and `newuidmap` is installed, and
else 0 alone, which is the user.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.shutdown import watched
from pytest_manylinux.host.subprocesses import install_command, reason_of

_SEARCH = ":/usr/sbin:/sbin"
_NAMESPACES = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--uid", "0", "--gid", "0", "--die-with-parent", "--new-session"),
)
# What Docker gives a container by default (moby, oci/caps/defaults.go), but for what reaches outside
# of a namespace: making devices, raw sockets, writing the audit log.
CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_SETFCAP", "CAP_SYS_CHROOT", "CAP_NET_BIND_SERVICE"),
)


TRIES = 10
"""Times that a program is begun where mounts of this machine go meanwhile; see `lost_a_mount`."""
_LOST = re.compile(r"\Abwrap: Can't bind mount /oldroot/ on /newroot/: [^\n]*\n?\Z")

SHARED_MEMORY = ("--bind-try", "/dev/shm", "/dev/shm")  # noqa: S108 - the machine's
"""The machine's own again, once /dev is another: where memory is plenty, a cache may lie there."""


class Ids(enum.Enum):
    """Which ids a namespace of ours has."""

    ALL = "all"
    SUBORDINATE = "subordinate"
    ONE = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideRequest:
    """A program, and what it sees. `view` are bubblewrap's arguments for the file system.

    `filter` is a program for seccomp(2), empty for none. `overlay` is a folder (`laid_out`) whose
    `upper` is laid over its `lower` as `merged`, which the view finds there, for this program only.
    """

    argv: tuple[str, ...]
    view: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    filter: bytes = field(default=b"", repr=False)
    overlay: Path | None = None


def laid_out(folder: Path, lower: Path) -> Path:
    """Make `folder` one that a request's `overlay` takes; gives it. `lower` is never written to."""
    for name in ("upper", "work", "merged"):
        (folder / name).mkdir(parents=True)
    shutil.copymode(lower, folder / "upper")
    (folder / "lower").symlink_to(lower)  # no name of this machine's has to be quoted
    return folder


def overlays_work(folder: Path) -> bool:
    """Whether this kernel lays the folder of `laid_out` over each other in a user namespace.

    Linux does since 5.11, on most file systems (Documentation/filesystems/overlayfs.rst).
    """
    request = InsideRequest(argv=("true",), view=("--ro-bind", "/", "/"), overlay=folder)
    request = replace(request, environment={"PATH": _path()})
    code: int | None = None
    for _ in range(TRIES):
        with running_inside(request, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            words = process.communicate()[1].decode("utf-8", "replace")
            code = process.returncode
        if not lost_a_mount(code, words):
            break
    return code == 0


def lost_a_mount(code: int | None, words: str) -> bool:
    """Whether a program was not begun because one of this machine's mounts went away just then.

    bubblewrap (0.8) shows all that is mounted below `/`, one after the other, and ends where one is
    gone by then: that of a container of somebody else's, say. `code` and `words` are its own.
    """
    return code == 1 and _LOST.match(words) is not None


def ids_here() -> Ids:
    """Which ids namespaces of this user have."""
    if os.geteuid() == 0:
        return Ids.ALL
    helpers = all(shutil.which(name, path=_path()) for name in ("newuidmap", "newgidmap"))
    ranges = all(_subordinate(Path("/etc") / name) for name in ("subuid", "subgid"))
    return Ids.SUBORDINATE if helpers and ranges else Ids.ONE


@contextlib.contextmanager
def running_inside(
    request: InsideRequest, *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, begun; killed with all that it started if it has not ended by the end.

    The thread that begins it must wait for it. Raises ImageError if it cannot be begun.
    """
    ready, go = os.pipe()
    told, tell = os.pipe()
    rules = _in_memory(request.filter)
    try:
        process = subprocess.Popen(
            _command(request, ready=ready, tell=tell, rules=rules),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(request.environment),
            pass_fds=(ready, tell, *rules),
            start_new_session=True,
        )
        os.close(tell)
        tell = -1
        try:
            with watched(process):
                _map_ids(_child(told))
                os.write(go, b"1")
                yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in filter(None, (process.stdout, process.stderr)):
                stream.close()
    finally:
        for descriptor in (ready, go, told, *rules, *((tell,) if tell >= 0 else ())):
            os.close(descriptor)


def _command(request: InsideRequest, *, ready: int, tell: int, rules: Sequence[int]) -> list[str]:
    program = shutil.which("bwrap", path=_path())
    if program is None:
        raise ImageError(
            "bubblewrap is missing, which unpacking and provisioning images takes",
            remedy=install_command("bwrap"),
        )
    network = () if request.network else ("--unshare-net",)
    words = [program, *_NAMESPACES, *network]
    words += ["--userns-block-fd", str(ready), "--info-fd", str(tell)]
    words += [word for rule in rules for word in ("--seccomp", str(rule))]
    inner = ["--cap-drop", "ALL", *_added(CAPABILITIES), *request.view, "--", *request.argv]
    steps = [_PROTECT] if os.geteuid() == 0 else []
    steps += [_LAY] if request.overlay is not None else []
    if not steps:
        return [*words, *inner]
    # bubblewrap mounts overlays from 0.11 on; mount(8) does everywhere, and a second bubblewrap takes
    # the right to mount away again.
    folder = str(request.overlay or "/")
    words += ["--cap-drop", "ALL", *_added((*CAPABILITIES, "CAP_SYS_ADMIN"))]
    words += ["--ro-bind", "/", "/", "--bind", folder, folder, "--dev", "/dev", *SHARED_MEMORY]
    words += ["--proc", "/proc"]
    words += ["--setenv", "PATH", _path(), "--chdir", folder]
    script = " && ".join((*steps, 'exec "$@"'))
    variables = (item for name in request.environment.items() for item in ("--setenv", *name))
    return [*words, "--", "sh", "-c", script, "sh", program, "--clearenv", *variables, *inner]


_LAY = "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr overlay merged"
# The devices are the machine's own, and root's: their modes and dates could be changed. What they are
# mounted as here, a second bubblewrap shows them as.
_PROTECT = """for name in null zero full random urandom tty; do
    mount -o remount,bind,ro "/dev/$name" || exit
done"""


def _added(capabilities: Sequence[str]) -> list[str]:
    return [word for name in capabilities for word in ("--cap-add", name)]


def _in_memory(program: bytes) -> tuple[int, ...]:
    """A descriptor that the program can be read from; none for an empty one."""
    if not program:
        return ()
    descriptor = os.memfd_create("filter")
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return (descriptor,)


def _child(told: int) -> int:
    """The process that waits for its ids (bwrap(1): --info-fd); raises ImageError if there is none."""
    words = b""
    while b"}" not in words:
        chunk = os.read(told, 4096)
        if not chunk:
            raise ImageError(
                "bubblewrap made no namespace",
                why="it ended at once",
                remedy="`pytest-manylinux doctor` says what this machine forbids",
            )
        words += chunk
    return int(json.loads(words)["child-pid"])


def _map_ids(child: int) -> None:
    match ids_here():
        case Ids.ALL:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{child}/{name}").write_text(_same_ids(Path("/proc/self") / name))
        case Ids.SUBORDINATE:
            _by_helper("newuidmap", child, os.geteuid(), Path("/etc/subuid"))
            _by_helper("newgidmap", child, os.getegid(), Path("/etc/subgid"))
        case Ids.ONE:
            Path(f"/proc/{child}/setgroups").write_text("deny")
            Path(f"/proc/{child}/uid_map").write_text(f"0 {os.geteuid()} 1\n")
            Path(f"/proc/{child}/gid_map").write_text(f"0 {os.getegid()} 1\n")


def _same_ids(own: Path) -> str:
    """A map of every id that this process has to itself (user_namespaces(7))."""
    lines = (line.split() for line in own.read_text().splitlines())
    return "".join(f"{first} {first} {count}\n" for first, _, count in lines)


def _by_helper(program: str, child: int, own: int, path: Path) -> None:
    first, count = _subordinate(path)[0]
    done = subprocess.run(
        [shutil.which(program, path=_path()) or program]
        + [str(number) for number in (child, 0, own, 1, 1, first, count)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ImageError(
            f"{program} gave a namespace none of the subordinate ids of {path}",
            why=reason_of(done.returncode, done.stderr),
            remedy=f"see that {program} is installed as its package has it, and the ranges in {path}",
        )


def _subordinate(path: Path) -> list[tuple[int, int]]:
    """The ranges of this user: (first id, count), by name or by number (subuid(5))."""
    try:
        lines = path.read_text("utf-8").splitlines()
        names = {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())}
    except (OSError, KeyError):
        return []
    found = (line.split(":") for line in lines if line.count(":") == 2)  # noqa: PLR2004
    return [(int(first), int(count)) for name, first, count in found if name in names]


def _path() -> str:
    return os.environ.get("PATH", "") + _SEARCH
