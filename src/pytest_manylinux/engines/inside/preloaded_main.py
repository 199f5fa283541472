"""The inside of a fork server: a program that is ready, and runs in forks with fresh surroundings.

Runs inside a sandbox on its interpreter, Python 3.6 or later, standard library only; the engines hand
the text over by `-c`. `python -c TEXT CODE WAY`: CODE is executed first and defines `work`, a
callable without arguments. Then requests come, one at a time, JSON objects, in one of two ways:

* `socket`: standard input is one, and each request has three open files with it: the run's stdout
  and stderr, and where the answer goes;
* `lines`: standard input is a pipe with a line for each request, which brings a word that nobody else
  knows. The server's own outputs are the run's: a line with that word begins it, another ends it,
  which on stdout brings the answer. Where the input ends, so does everything.

The server is the superuser of the user namespace that owns the sandbox's mounts, nobody outside of
it (with `lines` it makes itself that), and never runs foreign code. Each run gets namespaces of its
own (mount, process, network, IPC, host name, and a user namespace in which it is an ordinary user
without capabilities and can make no other), and empty /tmp, /scratch, /dev/shm and /dev/pts. Three
processes belong to it:

* the usher, outside the run's process namespace: gives the answer when all is gone;
* the first process inside: makes the surroundings, gives up all rights, reaps, and ends with the run,
  at which the kernel kills what is left;
* the run itself, which calls `work`.

The answer is one of {"exit_code": n}, {"signal": n}, {"failed": words}, or nothing.
"""

import array
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
    from collections.abc import Callable
    from typing import Any, NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)
MESSAGE = 1 << 20
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
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def serve(work: "Callable[[], None]") -> None:
    """Run `work` in a fork for each request, until the owner hangs up."""
    channel = socket.fromfd(0, socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.send(b"ready")
    while True:
        data, files = receive(channel)
        if not data:
            return
        usher = os.fork()
        if usher == 0:
            channel.close()
            answer(files[2], attend(json.loads(data.decode()), files, work))
            os._exit(0)
        for file in files:
            os.close(file)
        os.waitpid(usher, 0)


def serve_lines(work: "Callable[[], None]") -> None:
    """Do the same for requests that are lines; ends at once when the owner is gone."""
    become_superuser()
    os.write(1, b"ready\n")
    with open(0, "rb", closefd=False) as lines:
        for line in iter(lines.readline, b""):
            request = json.loads(line.decode())
            mark = b"\n%s " % request.pop("word").encode()
            streams = [os.open("/proc/self/fd/%d" % number, os.O_WRONLY) for number in (1, 2)]
            for stream in streams:  # these are the run's own: what it sets on them, it sets on no other
                os.write(stream, mark + b"begin\n")
            told = attend_apart(request, streams, work)
            os.write(1, mark + told + b"\n")
            os.write(2, mark + b"{}\n")


def attend_apart(request: "dict[str, Any]", streams: "list[int]", work: "Callable[[], None]") -> bytes:
    """Have a run attended by an usher; give its answer's JSON."""
    told, telling = os.pipe()
    usher = os.fork()
    if usher == 0:
        os.close(told)
        answer(telling, attend(request, streams, work))
        os._exit(0)
    for file in (telling, *streams):
        os.close(file)
    poll = select.poll()
    poll.register(told, select.POLLIN)
    poll.register(0, select.POLLIN)
    if any(file == 0 for file, _ in poll.poll()):  # nothing can come now but the end of input
        os._exit(0)
    words = os.read(told, MESSAGE)
    os.close(told)
    os.waitpid(usher, 0)
    return words or b"{}"


def receive(channel: socket.socket) -> "tuple[bytes, list[int]]":
    """Take one request with its files."""
    files = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(MESSAGE, socket.CMSG_SPACE(3 * files.itemsize))
    for _, _, content in ancillary:
        files.frombytes(content[: len(content) - len(content) % files.itemsize])
    return data, list(files)


def attend(
    request: "dict[str, Any]", files: "list[int]", work: "Callable[[], None]"
) -> "dict[str, Any]":
    """Be the usher of one run; give its answer once its process namespace is gone."""
    try:
        unshare(NEW_NS | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS)
        told, telling = os.pipe()
        first = os.fork()
        if first == 0:
            begin(request, files[:2], telling, work)
    except OSError as error:
        return {"failed": str(error)}
    os.close(telling)
    os.waitpid(first, 0)
    words = os.read(told, 4096)
    return dict(json.loads(words.decode())) if words else {}


def begin(
    request: "dict[str, Any]", streams: "list[int]", telling: int, work: "Callable[[], None]"
) -> "NoReturn":
    """Be the first process inside: surroundings, rights, the run, its ending."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)  # where requests come
    os.close(null)
    try:
        furnish(request)
        give_up_rights()
        filter_calls(bytes.fromhex(request["filter"]))
        run = os.fork()
        if run == 0:
            perform(streams, str(request["cwd"]), work)
        for stream in streams:
            os.close(stream)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process gets what it handles only
        answer(telling, ending(run))
    except OSError as error:
        answer(telling, {"failed": str(error)})
    finally:
        os._exit(0)


def furnish(request: "dict[str, Any]") -> None:
    """Make the file systems, the network and the user namespace of one run."""
    mount("none", "/", "", REC | PRIVATE)
    carried = [(os.open(source, os.O_PATH), target) for source, target in request["binds"]]
    for folder, options in request["writable"]:
        mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, options)
    for folder in request["folders"]:
        os.makedirs(folder, exist_ok=True)
    for source, target in carried:
        place = "/proc/self/fd/%d" % source
        make_point(place, target)
        mount(place, target, "", BIND | REC)
        os.close(source)
    if os.path.isdir("/dev/mqueue"):
        mount("mqueue", "/dev/mqueue", "mqueue", NOSUID | NODEV | NOEXEC)
    mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    settings = os.open("/proc/sys", os.O_PATH | os.O_DIRECTORY)
    for name in request["read_only"]:
        if os.path.exists(name):
            mount(name, name, "", BIND | REC)
            mount("none", name, "", REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)
    raise_loopback()
    become_nobody(settings, int(request["user"]))
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


class Filter(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_calls(program: bytes) -> None:
    """Have the kernel refuse what seccomp.py says, to this process and all it starts (seccomp(2))."""
    if program:
        words = Filter(len(program) // 8, program)
        checked(LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(words), 0, 0), "prctl")


def perform(streams: "list[int]", cwd: str, work: "Callable[[], None]") -> "NoReturn":
    """Be the run: nothing open but the three streams, and `work` as if it were a program."""
    code = 1
    try:
        os.setsid()
        os.chdir(cwd)
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
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


def ending(run: int) -> "dict[str, int]":
    """Reap whatever ends, until the run has; tell how."""
    while True:
        pid, status = os.wait()
        if pid == run:
            if os.WIFSIGNALED(status):
                return {"signal": os.WTERMSIG(status)}
            return {"exit_code": os.WEXITSTATUS(status)}


def answer(file: int, content: "dict[str, Any]") -> None:
    """Write an answer; nothing at all for an empty one."""
    if content:
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


def main() -> None:
    """Prepare, then serve."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    names = {}  # type: dict[str, Any]
    way, code = sys.argv.pop(), sys.argv.pop()
    exec(code, names)  # noqa: S102 -- ours: the owner's own program
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()  # what is there now is not touched any more, and stays shared with the forks
    (serve_lines if way == "lines" else serve)(names["work"])


if __name__ == "__main__":
    main()
