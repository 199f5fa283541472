"""The keeper of one bubblewrap sandbox: a small program of its own, standard library only.

It starts bubblewrap, runs commands inside, and ends everything when its owner closes the socket
between them or dies, SIGKILL included: the kernel closes the socket then. A program of its own,
because entering namespaces changes the whole process and wants exactly one thread.

Requests come over a SOCK_SEQPACKET socket whose number is argv[1]; each is one byte with open
files. The first file holds a JSON object, the last takes the JSON answer. The first request has
the files (setup, answer) and is answered by {"ready": true} or {"failed": words}. Every other has
(command, stdin, stdout, stderr, answer) and is answered by one of {"exit_code": n}, {"signal": n},
{"failed": words}, {"lost": true}, or by nothing if the sandbox was ended meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import time
import warnings  # noqa: F401 -- for os.execvpe, which imports it where no library is any more

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from typing import Any, NoReturn

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522  # capset(2)
_NS_GET_USERNS = 0xB701  # ioctl_ns(2): the user namespace that owns a namespace
_CLONE_NEWUSER = 0x10000000
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_SETPCAP, _CAP_NET_ADMIN, _CAP_SYS_ADMIN = 8, 12, 21
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096  # mount(2)
_NAMESPACES = ("cgroup", "ipc", "uts", "net", "pid", "mnt")
_HOLDER = ("/bin/sh", "-c", "echo ready; exec cat >/dev/null 2>&1")
_GRACE = 250  # milliseconds that a dying namespace may need until its first process is gone
_UNCOVERED_PROC = "/scratch/proc"
_OPEN_FILES = 1024  # the soft limit that a login on a distro gives


def main() -> None:
    """Serve one sandbox until the owner hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps our children
    if _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:  # nothing inside may look into us
        raise _os_error("prctl")
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a user namespace that may set none
            os.setgroups([])
    owner = socket.socket(fileno=int(sys.argv[1]))
    owner.set_inheritable(False)  # who held it inside could speak to our owner
    files = _receive(owner)
    if not files:
        return
    setup = _read_json(files[0])
    try:
        sandbox = _Bubblewrap(setup)
    except OSError as error:
        _answer(files[-1], {"failed": str(error)})
    else:
        _answer(files[-1], {"ready": True})
        _close(files)
        sandbox.serve(owner)
        sandbox.end()
    _remove_groups(setup["groups"])


class _Bubblewrap:
    """A running bubblewrap, its namespaces held open."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._doors: list[str] = [f"{group}/cgroup.procs" for group in setup["groups"]]
        self._limits: dict[str, int] = setup["rlimits"]
        self._filter = bytes.fromhex(setup["filter_of_commands"])
        self._monitor, info, self._stdin, output = _start_bubblewrap(setup)
        try:
            first = _first_process(info, output)
            self._alive = os.pidfd_open(first)
            self._user, self._others = _open_namespaces(first)
            self._root = os.open(f"/proc/{first}/root", os.O_PATH | os.O_DIRECTORY)
            self._protect_devices()
        except OSError:
            with contextlib.suppress(ProcessLookupError):  # it may be what ended, with the reason told
                os.kill(self._monitor, signal.SIGKILL)
            _wait_for_children()
            raise

    def _protect_devices(self) -> None:
        """Have the devices in /dev read-only: what is read and written is not kept there.

        They are the machine's own, which bubblewrap shows writable; and root's, whose id the user
        inside has where root runs us. Their modes, owners and dates could be changed.
        """
        words, telling = os.pipe()
        if os.fork() == 0:
            try:
                self._enter(as_owner=True)
                for entry in os.scandir("/dev"):
                    if stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode):
                        kept = os.statvfs(entry.path).f_flag & (_NOSUID | _NODEV | _NOEXEC)
                        _mount("none", entry.path, "", _REMOUNT | _BIND | _RDONLY | kept)
            except OSError as error:
                os.write(telling, str(error).encode())
            finally:
                os._exit(0)
        os.close(telling)
        refusal = _read_all(words)
        os.close(words)
        if refusal:
            raise OSError(f"/dev cannot be protected: {refusal.decode(errors='replace')}")

    def serve(self, owner: socket.socket) -> None:
        """Run what is asked for, each in a process of its own, until the owner hangs up."""
        while files := _receive(owner):
            if os.fork() == 0:
                owner.close()
                _answer(files[-1], self._attempt(files))
                os._exit(0)
            _close(files)

    def end(self) -> None:
        """Kill everything inside, and return when it is gone."""
        if not self._is_gone(0):
            signal.pidfd_send_signal(self._alive, signal.SIGKILL)
        self._is_gone(None)
        _wait_for_children()

    def _is_gone(self, milliseconds: int | None) -> bool:
        poll = select.poll()
        poll.register(self._alive, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def _attempt(self, files: list[int]) -> dict[str, object]:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            return self._run(_read_json(files[0]), files[1:4])
        except OSError as error:
            return {"lost": True} if self._is_gone(_GRACE) else {"failed": str(error)}

    def _run(self, command: dict[str, Any], streams: list[int]) -> dict[str, object]:
        for door in self._doors:
            with open(door, "w") as file:
                file.write("0")  # the writer itself
        self._enter(as_owner=command["rights"])
        child = os.fork()  # a process id namespace takes in children only
        if child == 0:
            _become(command, streams, self._limits, self._filter)
        _close(streams)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return {"exit_code": os.waitstatus_to_exitcode(status)}
        if os.WTERMSIG(status) == signal.SIGKILL and self._is_gone(_GRACE):
            return {"lost": True}
        return {"signal": os.WTERMSIG(status)}

    def _enter(self, *, as_owner: bool) -> None:
        """Join all namespaces of the sandbox, and make its root ours.

        The mount namespace may belong to a parent of the sandbox's user namespace (bubblewrap
        nests two): that parent first, since it gives the right to join the rest. There `as_owner`
        stays, the superuser over the sandbox's mounts and nobody outside of it.
        """
        owner = fcntl.ioctl(self._others[-1], _NS_GET_USERNS)
        _join(owner)
        for namespace in self._others:
            _join(namespace)
        if not as_owner and os.fstat(owner).st_ino != os.fstat(self._user).st_ino:
            _join(self._user)
        os.fchdir(self._root)
        os.chroot(".")


def _start_bubblewrap(setup: dict[str, Any]) -> tuple[int, int, int, int]:
    """Start it; give its process id, and our ends of its info, standard input and output."""
    info, info_end = os.pipe()
    stdin_end, stdin = os.pipe()
    output, output_end = os.pipe()
    data = [(_in_memory(_bytes(text)), path) for path, text in setup["files"].items()]
    binds = [word for file, path in data for word in ("--ro-bind-data", str(file), path)]
    program = _in_memory(bytes.fromhex(setup["filter"]))
    filtered = ["--seccomp", str(program)] if setup["filter"] else []
    words = [*setup["before"], *binds, *setup["after"], *filtered, "--info-fd", str(info_end)]
    # A command inside can read the arguments and environment of its first process: bubblewrap.
    words_file = _in_memory(_bytes("".join(f"{word}\0" for word in words)))
    argv = [setup["program"], "--args", str(words_file), "--", *_HOLDER]
    theirs = [info_end, words_file, program, *(file for file, _ in data)]
    monitor = os.fork()
    if monitor == 0:
        for file in theirs:
            os.set_inheritable(file, True)  # noqa: FBT003 - the name says what
        _execute(argv, {}, [stdin_end, output_end, output_end])
    _close([stdin_end, output_end, *theirs])
    return monitor, info, stdin, output


def _first_process(info: int, output: int) -> int:
    """Wait until the sandbox is set up; give the id of its first process. Raises OSError."""
    facts = _read_all(info)
    words = b""
    while not words.endswith(b"ready\n"):
        if not (more := os.read(output, 4096)):
            raise OSError(words.decode(errors="replace").strip() or "bubblewrap ended at once")
        words += more
    return int(json.loads(facts)["child-pid"])


def _open_namespaces(first: int) -> tuple[int, list[int]]:
    """Open the user namespace and the others of a process, those left out that are ours too."""
    others = []
    for name in _NAMESPACES:
        theirs = f"/proc/{first}/ns/{name}"
        if os.stat(theirs).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
            others.append(os.open(theirs, os.O_RDONLY))
    return os.open(f"/proc/{first}/ns/user", os.O_RDONLY), others


def _join(namespace: int) -> None:
    if _LIBC.setns(namespace, 0) != 0:
        raise _os_error("setns")


def _become(
    command: dict[str, Any], streams: list[int], limits: dict[str, int], program: bytes
) -> NoReturn:
    """Turn this process, inside already, into the command: no rights, no signals ignored.

    Only a preloaded process (preloaded_main.py) keeps the rights that it has inside, to take them from
    its forks; with `rights_as` it is the ordinary user already that its forks are.
    """
    try:
        if not command["rights"]:
            _set_rights()
        elif command["rights_as"] is not None:
            _keep_rights_as(command["rights_as"])
        _set_limits(limits)
        os.umask(0o022)
        os.chdir(command["cwd"])
        _filter_calls(program)
    except OSError as error:
        os.write(streams[2], f"sandbox: {error}\n".encode(errors="replace"))
        os._exit(126)
    _execute(command["argv"], command["environment"], streams)


def _execute(argv: list[str], environment: dict[str, str], streams: list[int]) -> NoReturn:
    os.setsid()
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    words = (os.fsencode(word) for word in (source, target, kind))
    if _LIBC.mount(*words, ctypes.c_ulong(flags), None) != 0:
        raise _os_error(f"mount {target}")


def _set_rights(kept: tuple[int, ...] = ()) -> None:
    """No new privileges, and no capabilities but those `kept`, all of them below 32."""
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _os_error("prctl")
    capability = 0
    while capability in kept or _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bits = sum(1 << capability for capability in kept)
    # Effective, permitted and inheritable ones, then those from 32 on (capset(2)).
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)(bits, bits, bits)) != 0:
        raise _os_error("capset")


def _keep_rights_as(user: int) -> None:
    """Enter a user namespace as an ordinary user who has what new namespaces and mounts take.

    The rights stay when an interpreter is executed (capabilities(7), ambient set). No user namespace
    can be made in this one. The kernel gives a new procfs there only where one is seen that nothing
    covers: so that is mounted first, in a folder that is empty in each run.
    """
    os.mkdir(_UNCOVERED_PROC)
    _mount("proc", _UNCOVERED_PROC, "proc", _NOSUID | _NODEV | _NOEXEC)
    if _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise _os_error("unshare")
    for name, words in (
        ("self/setgroups", "deny"),
        ("self/uid_map", f"{user} 0 1"),
        ("self/gid_map", f"{user} 0 1"),
        ("sys/user/max_user_namespaces", "0"),
    ):
        with open(f"{_UNCOVERED_PROC}/{name}", "w") as file:
            file.write(words)
    kept = (_CAP_SETPCAP, _CAP_NET_ADMIN, _CAP_SYS_ADMIN)
    _set_rights(kept)
    for capability in kept:
        if _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0:
            raise _os_error("prctl(PR_CAP_AMBIENT)")


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _filter_calls(program: bytes) -> None:
    """Have the kernel refuse what seccomp.py says, to this process and all it starts."""
    if program:
        words = _FilterProgram(len(program) // 8, program)
        if _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(words), 0, 0) != 0:
            raise _os_error("prctl(PR_SET_SECCOMP)")


def _set_limits(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in {"NOFILE": _OPEN_FILES, **limits}.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (soft, hard if name == "NOFILE" else soft))


def _receive(owner: socket.socket) -> list[int]:
    """The files of the next request; none when the owner has hung up."""
    _, ancillary, _, _ = owner.recvmsg(1, socket.CMSG_SPACE(32), socket.MSG_CMSG_CLOEXEC)
    data = b"".join(part[2] for part in ancillary)
    return list(memoryview(data).cast("i")) if data else []


def _read_json(file: int) -> dict[str, Any]:
    os.lseek(file, 0, os.SEEK_SET)
    content: dict[str, Any] = json.loads(_read_all(file))
    return content


def _read_all(file: int) -> bytes:
    content = b""
    while more := os.read(file, 65536):
        content += more
    return content


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _in_memory(content: bytes) -> int:
    file = os.memfd_create("pytest-manylinux")
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _answer(file: int, content: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the owner may no longer wait
        os.write(file, json.dumps(content).encode())


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def _wait_for_children() -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, 0)  # SIGCHLD is ignored: this fails as soon as all have ended


def _remove_groups(groups: list[str]) -> None:
    for group in groups:
        for _ in range(200):
            try:
                os.rmdir(group)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)


def _os_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
