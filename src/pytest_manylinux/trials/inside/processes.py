"""Child processes of the agent: started, bounded, captured, and gone afterwards.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import time

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WORK = "/scratch/agent"
KEPT = 64 * 1024  # bytes of a child's output: half from its start, half from its end
KEPT_REPORT = 4 * 1024 * 1024
LAST_WORDS = 1.0  # seconds that a hung interpreter gets to write its traceback
CHUNK = 1 << 16  # bytes: no pipe holds more at once (pipe(7))
SWEEPS = 200
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 4, 24, 36, 38
PR_SET_SECCOMP = 22
CAPABILITY_VERSION_3 = 0x20080522  # capset(2)
LIBC = ctypes.CDLL(None)


def protect_agent() -> None:
    """Keep other processes of this user from reading or steering this one; adopt all orphans.

    What holds for children holds for it as well, so that they may be spawned (Task.spawn).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    confine_child()
    LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, do_nothing)  # not SIG_IGN, which children would inherit


def confine_child() -> None:
    """Give up every capability for good (capabilities(7)), so that the agent stays out of reach."""
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    LIBC.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())


def do_nothing(*_: object) -> None:
    """Stand for a signal's handler."""


def random_word() -> str:
    """Make a word that nobody can guess."""
    return os.urandom(16).hex()


class Output:
    """Bytes of a stream: all, or the first and the last of them if there are too many."""

    def __init__(self, kept: int = KEPT) -> None:
        """Keep at most `kept` bytes."""
        self.half = kept // 2
        self.head = b""
        self.tail = b""
        self.lost = 0

    def add(self, data: bytes) -> None:
        """Take what came."""
        room = max(self.half - len(self.head), 0)
        self.head += data[:room]
        self.tail += data[room:]
        over = max(len(self.tail) - self.half, 0)
        self.tail = self.tail[over:]
        self.lost += over

    def text(self) -> str:
        """Give what was kept, with a line that counts what was not."""
        gap = b"\n[... %d bytes left out ...]\n" % self.lost if self.lost else b""
        return (self.head + gap + self.tail).decode("utf-8", "replace")


class Task:
    """One child process in a session of its own, its output captured, its time bounded."""

    def __init__(self, argv: "list[str]", timeout: float, stdin: bytes = b"", pipe: str = "") -> None:
        """Prepare; `pipe` is the path of the named pipe that the child may report through.

        `ready`, set later, is called with `argv` in the child's place: a program that needs no start.
        """
        self.argv = argv
        self.timeout = timeout
        self.stdin = stdin
        self.pipe = pipe
        self.environment = {}  # type: dict[str, str]
        self.ready = None  # type: Callable[[list[str]], object] | None
        self.cwd = f"{WORK}/{random_word()}"
        self.output = Output()
        self.report = Output(KEPT_REPORT)
        self.sources = {}  # type: dict[int, Output]
        self.theirs = ()  # type: tuple[int, ...]
        self.pid = self.status = 0
        self.started = self.reported = self.duration = 0.0
        self.overdue = False

    def prepare(self) -> None:
        """Make the child's folder, empty and its own, and its pipes."""
        os.mkdir(self.cwd)
        stdin, words = os.pipe()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self.sources[ours] = self.output
        if self.pipe:
            os.mkfifo(self.pipe, 0o600)
            self.sources[os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK)] = self.report
        os.write(words, self.stdin)
        os.close(words)
        self.theirs = (stdin, theirs, theirs)

    def start(self) -> None:
        """Start the child. Raises BlockingIOError if there can be no more processes now."""
        if not self.theirs:
            self.prepare()
        self.pid = 0 if self.ready else self.spawn()
        if self.pid == 0:
            self.pid = os.fork()
            if self.pid == 0:
                self.become()
        self.started = time.monotonic()
        for end in set(self.theirs):
            os.close(end)

    def spawn(self) -> int:
        """Start it as `become` would, where Python can without copying this process: from 3.8 on.

        A copy of a process that has pip imported takes longer than all that the loader does. Gives 0 if
        nothing was started; then a fork tells why.
        """
        if not hasattr(os, "posix_spawn"):
            return 0
        streams = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(self.theirs)]
        here = os.open(".", os.O_PATH)
        os.chdir(self.cwd)
        try:
            return os.posix_spawn(
                self.argv[0],
                self.argv,
                dict(os.environ, **self.environment),
                file_actions=streams,
                setsid=True,
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them, which is inherited
            )
        except BlockingIOError:
            raise
        except (OSError, NotImplementedError):
            return 0
        finally:
            os.fchdir(here)
            os.close(here)

    def become(self) -> None:
        """Turn this fork into the command; never returns."""
        try:
            os.setsid()
            for number, source in enumerate(self.theirs):
                os.dup2(source, number)
            os.chdir(self.cwd)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, which is inherited
                signal.signal(number, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            confine_child()
            if self.ready:
                self.ready(self.argv)
            os.execve(self.argv[0], self.argv, dict(os.environ, **self.environment))  # noqa: S606 -- no shell is the point
        except OSError as error:
            os.write(2, f"{self.argv[0]}: {error.strerror}\n".encode("utf-8", "replace"))
        finally:
            os._exit(127)

    def due(self) -> float:
        """The moment (of the monotonic clock) at which the child must be urged."""
        return self.started + self.timeout + (LAST_WORDS if self.overdue else 0)

    def take(self) -> None:
        """Read what is there, and forget a stream that ended."""
        for source, store in list(self.sources.items()):
            try:
                data = os.read(source, CHUNK)
            except BlockingIOError:
                continue
            store.add(data)
            if store is self.report and not self.reported:
                self.reported = time.monotonic()
            if not data:
                os.close(source)
                del self.sources[source]

    def urge(self) -> None:
        """End an overdue child: first so that faulthandler can tell where it hangs, then for good."""
        if time.monotonic() < self.due():
            return
        if self.overdue:
            self.kill()
        else:
            os.kill(self.pid, signal.SIGABRT)
        self.overdue = True

    def kill(self) -> None:
        """Kill the child and the rest of its session's group, if anyone is left."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def finish(self, status: int) -> None:
        """Note how the child, reaped already, has ended."""
        self.status = status
        self.duration = time.monotonic() - self.started
        self.kill()
        self.take()
        for source in self.sources:
            os.close(source)

    def ending(self) -> "dict[str, object]":
        """Tell how it ended: exit code or signal, whether overdue, output, seconds."""
        signalled = os.WIFSIGNALED(self.status)
        return {
            "exit_code": None if signalled else os.WEXITSTATUS(self.status),
            "signal": os.WTERMSIG(self.status) if signalled else None,
            "overdue": self.overdue,
            "output": self.output.text(),
            "duration": self.duration,
        }


def run(
    tasks: "Iterable[Task]", parallel: int = 1, begin: "Callable[[Task], None]" = do_nothing
) -> "Iterator[Task]":
    """Run tasks, `parallel` at a time, `begin` called for each; yield each when it has ended.

    In the end no descendant is left, wherever it hid.
    """
    waiting = list(tasks)
    running = {}  # type: dict[int, Task]
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, do_nothing)
    signal.set_wakeup_fd(woken)
    while waiting or running:
        while waiting and len(running) < parallel and started(waiting[0], alone=not running):
            task = waiting.pop(0)
            begin(task)
            running[task.pid] = task
        listen(wake, list(running.values()))
        for pid, status in reap():
            if pid in running:
                running[pid].finish(status)
                yield running.pop(pid)
    signal.set_wakeup_fd(-1)
    os.close(wake)
    os.close(woken)
    sweep()


def started(task: Task, *, alone: bool) -> bool:
    """Start a task; false if that must wait until another has ended, such as a fork bomb."""
    for _ in range(SWEEPS if alone else 1):
        with contextlib.suppress(BlockingIOError):
            task.start()
            return True
        if alone:
            sweep()
    if alone:
        raise RuntimeError("no process can be started any more")
    return False


def listen(wake: int, tasks: "list[Task]") -> None:
    """Wait until a child speaks, ends or is overdue; read what came."""
    poll = select.poll()
    for source in [wake, *(source for task in tasks for source in task.sources)]:
        poll.register(source, select.POLLIN)
    wait = min(task.due() for task in tasks) - time.monotonic()
    poll.poll(max(wait, 0) * 1000 + 1)
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 4096)
    for task in tasks:
        task.take()
        task.urge()


def reap() -> "Iterator[tuple[int, int]]":
    """Yield (process id, status) of every child that has ended, adopted orphans too."""
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid != 0:
            yield pid, status
            pid, status = os.waitpid(-1, os.WNOHANG)


def sweep() -> None:
    """Kill what is left of descendants; as the orphans' adopter this process sees them all.

    All are stopped before the first is killed: a fork bomb would else refill every place that a
    death makes free.
    """
    for _ in range(SWEEPS):
        stopped = set()  # type: set[int]
        left = descendants()
        while left - stopped:
            for pid in left - stopped:
                send(pid, signal.SIGSTOP)
            stopped |= left
            left = descendants()
        for pid in stopped:
            send(pid, signal.SIGKILL)
        for _ in reap():
            pass
        if not stopped:
            return
        time.sleep(0.001)


def send(pid: int, number: int) -> None:
    """Signal a process, if it is still there."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def descendants() -> "set[int]":
    """The process ids of this process's descendants (proc(5), stat)."""
    parents = {}  # type: dict[int, int]
    for name in filter(str.isdigit, os.listdir("/proc")):
        # A process may just have ended.
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as stat:
            parents[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
    found = set()  # type: set[int]
    fresh = {os.getpid()}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


class SockFprog(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_calls(program: bytes) -> None:
    """Have the kernel answer as the program says, to this process and all it starts (seccomp(2))."""
    if program:
        words = SockFprog(len(program) // 8, program)
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(words), 0, 0):
            raise OSError("the kernel takes no filter for system calls (prctl, PR_SET_SECCOMP)")
