"""The inside of a program that waits in a container: ready, for one run, and then its end.

Runs as a container's first process on the image's interpreter, Python 3.6 or later, standard library
only; standby.py hands the text over by `-c`. `python -c TEXT CODE`: CODE is executed first and defines
`work`, a callable without arguments. Then `ready` is said, and a line comes over standard input, which
stays open as long as the owner lives: a word that nobody else knows. The run is a fork that calls
`work`, its output is the container's own. Since a daemon may be behind with either output, both have
a line with that word and `begin` where the run's begins, and a last line that starts with that word.
On stdout the last line tells how the run ended: a JSON object, {"exit_code": n} or {"signal": n}. Then,
or when standard input ends, this process does, and the kernel ends all else in the container.

What runs inside has this process's user id, so it makes itself undumpable: nobody can open its
descriptors or look into it (prctl(2)). Signals from inside reach a namespace's first process only where
it handles them.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

CWD = "/scratch"
PR_SET_DUMPABLE = 4
LONGEST_LINE = 256


def stand_by(work: "Callable[[], None]") -> None:
    """Wait for the word, have `work` run once, tell how it ended."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()  # what is there now is not touched any more, and stays shared with the fork
    os.write(1, b"ready\n")
    mark = b"\n%s " % read_line()
    say(mark + b"begin\n", mark + b"begin\n")
    signal.signal(signal.SIGCHLD, do_nothing)
    signal.set_wakeup_fd(woken)
    run = os.fork()
    if run == 0:
        perform(work)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process gets what it handles only
    answer = json.dumps(ending(run, wake)).encode()
    say(mark + answer + b"\n", mark + b"{}\n")


def say(to_stdout: bytes, to_stderr: bytes) -> None:
    """Write to both outputs: waiting for room, even if the run has set them not to wait."""
    for stream, words in ((1, to_stdout), (2, to_stderr)):
        os.set_blocking(stream, True)
        os.write(stream, words)


def read_line() -> bytes:
    """Read a line and not a byte more; the end of input is the end of us."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        line += byte
    return line[:-1]


def perform(work: "Callable[[], None]") -> "NoReturn":
    """Be the run: nothing open but the three streams, and `work` as if it were a program."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(CWD)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
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


def ending(run: int, wake: int) -> "dict[str, int]":
    """Reap whatever ends, until the run has; end at once if the owner is gone."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for pid, status in reap():
            if pid == run:
                if os.WIFSIGNALED(status):
                    return {"signal": os.WTERMSIG(status)}
                return {"exit_code": os.WEXITSTATUS(status)}
        for source, _ in poll.poll():
            if not os.read(source, 4096) and source == 0:
                os._exit(0)


def reap() -> "list[tuple[int, int]]":
    """Collect (process id, status) of every child that has ended."""
    found = []
    pid = 1
    while pid:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        found.append((pid, status))
    return found


def do_nothing(*_: object) -> None:
    """Stand for a signal's handler: one that is ignored wakes nobody."""


def main() -> None:
    """Prepare, then stand by."""
    names = {}  # type: dict[str, Callable[[], None]]
    code = sys.argv.pop()
    exec(code, names)  # noqa: S102 -- ours: the owner's own program
    stand_by(names["work"])


if __name__ == "__main__":
    main()
