"""The inside of a preloaded process: a program that is ready, and runs in forks of itself.

Runs inside a sandbox on its interpreter, Python 3.6 or later, standard library only; preloaded.py hands
the text over by `python -c START CODE TEXT SETTINGS`. CODE is executed before this, and defines `work`,
a callable without arguments. SETTINGS is a JSON object: `max_runs` (null: any number), `cwd`,
`isolation`, which says what this process does for each run and what its own sandbox gives already
(preloaded.py has its fields), and `surroundings`, the file systems of a run with namespaces of its own.

When the process is ready it writes a line `ready` to its standard output. Then requests come over
standard input, a pipe that stays open as long as the owner lives: one at a time, each a line with a
JSON object: `word`, which nobody else knows, and `binds`, what the run is to find. The process's
outputs are the run's: on each, a line with that word and `begin` begins it, and a last line with that
word ends it, which on stdout brings the answer: one of {"exit_code": n}, {"signal": n},
{"failed": words}, or {}. Where the input ends, or after the last run, so does the process.

It never runs foreign code itself. With `namespaces` it is the superuser of the user namespace that owns
the sandbox's mounts, nobody outside of it (with `superuser` it makes itself that), and each run gets
namespaces of its own (mount, process, network, IPC, host name), empty /tmp, /scratch, /dev/shm and
/dev/pts, with `user` a user namespace in which it is an ordinary user and can make no other, with
`drop_rights` no capabilities, and the filter `system_calls`. Three processes belong to such a run:

* the usher, outside the run's process namespace: ends when all of that is gone;
* the first process inside: makes the surroundings, gives up all rights, reaps, and ends with the run,
  at which the kernel kills what is left;
* the run itself, which calls `work`.

Without `namespaces` the run is a fork in this process's own sandbox, and has its user id. So the
process makes itself undumpable: nobody can open its descriptors or look into it (prctl(2)). Signals
from inside reach a namespace's first process only where it handles them.
"""

import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)
CHUNK = 1 << 16
# Numbers of the kernel's interface: those of mount(2), unshare(2), prctl(2), capset(2), netdevice(7).
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
NEW_NS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = (
    1 << 17,
    1 << 26,
    1 << 27,
    1 << 28,
    1 << 29,
    1 << 30,
)
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
FAULTS = (signal.SIGILL, signal.SIGFPE)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def serve(work: "Callable[[], None]", settings: "dict[str, Any]") -> None:
    """Run `work` in a fork for each request; end the process when the owner hangs up."""
    isolation = settings["isolation"]
    if isolation["superuser"]:
        become_superuser()
    if not isolation["namespaces"]:
        checked(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process gets what it handles only
    wake = wake_on_children()
    flags = {stream: fcntl.fcntl(stream, fcntl.F_GETFL) for stream in (1, 2)}
    os.write(1, b"ready\n")
    done = 0
    while done != settings["max_runs"]:
        request = json.loads(read_line().decode())
        mark = b"\n%s " % request["word"].encode()
        say(flags, mark + b"begin\n", mark + b"begin\n")
        told = attend(request, settings, work, wake)
        say(flags, mark + told + b"\n", mark + b"{}\n")
        done += 1


def wake_on_children() -> int:
    """Give the end of a pipe that can be read whenever a child has ended."""
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, do_nothing)
    signal.set_wakeup_fd(woken)
    return wake


def do_nothing(*_: object) -> None:
    """Stand for a signal's handler: one that is ignored wakes nobody."""


def read_line() -> bytes:
    """Read a request; the end of input is the end of us."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, CHUNK)
        if not data:
            os._exit(0)
        line += data
    return line


def say(flags: "dict[int, int]", to_stdout: bytes, to_stderr: bytes) -> None:
    """Write to both outputs, as they were before a run: it may have set them not to wait for room."""
    for stream, words in ((1, to_stdout), (2, to_stderr)):
        fcntl.fcntl(stream, fcntl.F_SETFL, flags[stream])
        os.write(stream, words)


def attend(
    request: "dict[str, Any]", settings: "dict[str, Any]", work: "Callable[[], None]", wake: int
) -> bytes:
    """Have one run carried out; give its answer, when with its namespaces all else of it is gone."""
    isolated = settings["isolation"]["namespaces"]
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        start_afresh()
        if isolated:
            usher(request, settings, telling, work)
        perform(settings["cwd"], work)
    os.close(telling)
    status = end_of(child, wake)
    words = os.read(told, CHUNK) if isolated else json.dumps(ending(status)).encode()
    os.close(told)
    return words or b"{}"


def start_afresh() -> None:
    """Take the requests from a fork, and set signals as an interpreter has them that just started."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end_of(child: int, wake: int) -> int:
    """Reap whatever ends, until the child has; give its status. End at once if the owner is gone."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for pid, status in reap():
            if pid == child:
                return status
        for source, _ in poll.poll():
            if not os.read(source, CHUNK) and source == 0:
                os._exit(0)


def reap() -> "Iterator[tuple[int, int]]":
    """Yield (process id, status) of every child that has ended."""
    pid = 1
    while pid:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        yield pid, status


def ending(status: int) -> "dict[str, int]":
    """Tell how a process ended."""
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit_code": os.WEXITSTATUS(status)}


def usher(
    request: "dict[str, Any]", settings: "dict[str, Any]", telling: int, work: "Callable[[], None]"
) -> "NoReturn":
    """Be the usher of one run: end once its process namespace is gone."""
    try:
        unshare(NEW_NS | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS)
        first = os.fork()
        if first == 0:
            begin(request, settings, telling, work)
        os.waitpid(first, 0)
    except OSError as error:
        answer(telling, {"failed": str(error)})
    finally:
        os._exit(0)


def begin(
    request: "dict[str, Any]", settings: "dict[str, Any]", telling: int, work: "Callable[[], None]"
) -> "NoReturn":
    """Be the first process inside: surroundings, rights, the run, its ending."""
    isolation = settings["isolation"]
    try:
        furnish(request["binds"], settings["surroundings"], isolation)
        if isolation["drop_rights"]:
            give_up_rights()
        filter_calls(bytes.fromhex(isolation["system_calls"]))
        before = take_no_signals()
        run = os.fork()
        if run == 0:
            take_signals(before)
            perform(settings["cwd"], work)
        pid = status = 0
        while pid != run:
            pid, status = os.wait()
        answer(telling, ending(status))
    except OSError as error:
        answer(telling, {"failed": str(error)})
    finally:
        os._exit(0)


def take_no_signals() -> "set[int]":
    """Be out of reach of the run's signals; give what `take_signals` wants.

    The kernel lets a first process have what it handles only, but an emulator handles all. Its own
    thread takes the signals of faults, blocked here or not, unless they are ignored.
    """
    for number in FAULTS:
        signal.signal(number, signal.SIG_IGN)
    every = [*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
    return signal.pthread_sigmask(signal.SIG_BLOCK, every)


def take_signals(before: "set[int]") -> None:
    """Take signals as they were taken before."""
    for number in FAULTS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def furnish(
    binds: "list[tuple[str, str]]", surroundings: "dict[str, Any]", isolation: "dict[str, Any]"
) -> None:
    """Make the file systems, the network and, for a `user`, the user namespace of one run."""
    mount("none", "/", "", REC | PRIVATE)
    carried = [(os.open(source, os.O_PATH), target) for source, target in binds]
    for folder, options in surroundings["writable"]:
        mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, options)
    for folder in surroundings["folders"]:
        os.makedirs(folder, exist_ok=True)
    for source, target in carried:
        place = "/proc/self/fd/%d" % source
        make_point(place, target)
        mount(place, target, "", BIND | REC)
        os.close(source)
    if os.path.isdir("/dev/mqueue"):
        mount("mqueue", "/dev/mqueue", "mqueue", NOSUID | NODEV | NOEXEC)
    if isolation["terminals"]:
        mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    else:  # terminals go with a run, and nothing else can be left there
        mount("none", "/dev/pts", "", REMOUNT | BIND | RDONLY | NOSUID | NOEXEC)
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    settings = os.open("/proc/sys", os.O_PATH | os.O_DIRECTORY)
    for name in surroundings["read_only"]:
        if os.path.exists(name):
            mount(name, name, "", BIND | REC)
            mount("none", name, "", REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)
    raise_loopback()
    if isolation["user"] is not None:
        become_nobody(settings, isolation["user"])
    os.close(settings)


def make_point(source: str, target: str) -> None:
    """Make what a bind needs to be mounted on."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def raise_loopback() -> None:
    """Switch the network namespace's only interface on (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = fcntl.ioctl(one, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack("16sH22x", request)[1]
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def become_superuser() -> None:
    """Enter a user namespace and a mount namespace of our own, whose superuser we are."""
    uid, gid = os.getuid(), os.getgid()
    unshare(NEW_USER | NEW_NS)
    map_ids("0 %d 1" % uid, "0 %d 1" % gid)


def map_ids(users: str, groups: str) -> None:
    """Say who is who in the user namespace that we have just made (user_namespaces(7))."""
    for name, words in (("setgroups", "deny"), ("uid_map", users), ("gid_map", groups)):
        write("/proc/self/" + name, words)


def become_nobody(settings: int, user: int) -> None:
    """Enter a user namespace of our own as an ordinary user; nobody inside can make another.

    The limit is that of the namespace of whoever looks it up, hence the open folder: what /proc
    shows is read-only by now.
    """
    unshare(NEW_USER)
    map_ids("%d 0 1" % user, "%d 0 1" % user)
    limit = os.open("user/max_user_namespaces", os.O_WRONLY, dir_fd=settings)
    os.write(limit, b"0")
    os.close(limit)


def give_up_rights() -> None:
    """No new privileges, an empty bounding set, no capabilities; nobody may look into us."""
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    checked(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")
    capability = 0
    while LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")


class SockFprog(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_calls(program: bytes) -> None:
    """Have the kernel refuse what seccomp.py says, to this process and all it starts (seccomp(2))."""
    if program:
        words = SockFprog(len(program) // 8, program)
        checked(LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(words), 0, 0), "prctl")


def perform(cwd: str, work: "Callable[[], None]") -> "NoReturn":
    """Be the run: nothing open but the three streams, and `work` as if it were a program."""
    code = 1
    try:
        os.setsid()
        os.chdir(cwd)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        work()
        code = 0
    except BaseException:  # noqa: BLE001 -- told on stderr, as an interpreter would
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(file: int, content: "dict[str, Any]") -> None:
    """Write an answer."""
    os.write(file, json.dumps(content).encode())


def write(path: str, words: str) -> None:
    """Write to one of the kernel's files."""
    file = os.open(path, os.O_WRONLY)
    os.write(file, words.encode())
    os.close(file)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (unshare(2))."""
    checked(LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount (mount(2)); an error names the target."""
    words = [os.fsencode(word) for word in (source, target, kind, options)]
    checked(
        LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), "mount " + target
    )


def checked(result: int, what: str) -> None:
    """Raise OSError for a call that failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))


def main(work: "Callable[[], None]") -> None:
    """Serve `work`, for which all has been imported: the arguments go, garbage is looked for again."""
    settings = json.loads(sys.argv.pop())
    del sys.argv[1:]
    # What is there now is not touched any more, and stays shared with the forks; 3.6 cannot say so.
    getattr(gc, "freeze", gc.collect)()
    gc.enable()
    serve(work, settings)
