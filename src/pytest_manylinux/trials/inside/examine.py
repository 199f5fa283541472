"""What an interpreter runs that compiles Python files, or opens shared libraries, and imports nothing.

The agent hands this text to an interpreter by `-c`, or compiles in a fork of itself. Python 3.6 or
later. It reports as import_one.py does: a literal, with a token, through a named pipe.

Libraries are opened each in a process of its own. It calls dlopen(3) itself, since ctypes always
resolves all symbols at once. A library that does not open alone is tried again where the others have
been opened with RTLD_GLOBAL, each as soon as that went well: as a program would have it that is linked
with them, or a package that loads its requirements' libraries first.
"""

import ast
import ctypes
import importlib.util
import marshal
import os
import signal
import sys

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

LONGEST = 20  # seconds for one library
PIECE = 65536
MOST = 200  # faults of source files that are told

libc = ctypes.CDLL(None)
dlopen = libc.dlopen
dlopen.restype = ctypes.c_void_p
dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
dlerror = libc.dlerror
dlerror.restype = ctypes.c_char_p


def take(path: str, mode: int) -> str:
    """Open a library in this process; give the loader's words if it refuses."""
    if dlopen(os.fsencode(path), mode):
        return ""
    return (dlerror() or b"the loader refused it without a word").decode("utf-8", "replace")


def in_fork(work: "Callable[[], object]") -> "tuple[Any, int | None]":
    """Do some work in a fork; give what it returns (None if it did not), and what killed it."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(ours)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            write(theirs, ascii(work()).encode("ascii"))
        finally:
            os._exit(0)
    os.close(theirs)
    told = read(ours)
    os.close(ours)
    status = os.waitpid(process, 0)[1]
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    try:
        return ast.literal_eval(told.decode("ascii")), killed
    except (SyntaxError, ValueError):
        return None, killed


def read(descriptor: int) -> bytes:
    """Read to the end."""
    found = b""
    piece = b"."
    while piece:
        piece = os.read(descriptor, PIECE)
        found += piece
    return found


def write(descriptor: int, rest: bytes) -> None:
    """Write all of it."""
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def attempt(path: str, mode: int) -> "tuple[str, int | None]":
    """Open a library in a fork that has LONGEST seconds: the loader's words, and a signal."""

    def work() -> str:
        signal.alarm(LONGEST)
        return take(path, mode)

    words, killed = in_fork(work)
    return ("the process that opened it ended" if words is None else words), killed


def result(path: str, *, beside: bool) -> "dict[str, Any]":
    """Open one library lazily and, in another process, at once."""
    lazily, killed = attempt(path, os.RTLD_LAZY)
    at_once = ""
    if not lazily and killed is None:
        at_once, killed = attempt(path, os.RTLD_NOW)
    return {"path": path, "lazily": lazily, "at_once": at_once, "beside": beside, "signal": killed}


def open_beside(failed: "list[str]", others: "list[str]") -> "list[dict[str, Any]]":
    """Try failed libraries again in this process, once all that can be are open to all."""
    waiting, before = list(others), -1
    while waiting and len(waiting) != before:
        before, left = len(waiting), []
        for path in waiting:
            words, killed = attempt(path, os.RTLD_LAZY | os.RTLD_GLOBAL)
            if words or killed is not None or take(path, os.RTLD_LAZY | os.RTLD_GLOBAL):
                left.append(path)
        waiting = left
    return [result(path, beside=True) for path in failed]


def is_whole(one: "dict[str, Any]") -> bool:
    """Whether a library was opened both ways."""
    return not one["lazily"] and not one["at_once"] and one["signal"] is None


def is_better(first: "dict[str, Any]", second: "dict[str, Any]") -> bool:
    """Whether the second result says more for the library than the first."""
    opened = not second["lazily"] and second["signal"] is None
    return is_whole(second) or (bool(first["lazily"]) and opened)


def open_libraries(listing: str) -> "dict[str, object]":
    """Open libraries; the paths of others that may help come after an empty one."""
    own, _, others = listing.partition("\0\0")
    libraries = [path for path in own.split("\0") if path]
    beside = [path for path in others.split("\0") if path]
    found = {path: result(path, beside=False) for path in libraries}
    failed = [path for path in libraries if not is_whole(found[path])]
    if failed and len(libraries) + len(beside) > 1:
        again, _ = in_fork(lambda: open_beside(failed, beside + libraries))
        for one in again or []:
            if is_better(found[one["path"]], one):
                found[one["path"]] = one
    return {"opened": list(found.values())}


def compile_sources(listing: str) -> "dict[str, object]":
    """Compile Python files without running them; imports find the bytecode."""
    paths = listing.split("\0")
    found = [(path, fault(path)) for path in paths]
    faults = [[path, *wrong] for path, wrong in found if wrong is not None]
    return {"compiled": len(paths), "faults": faults[:MOST]}


def fault(path: str) -> "tuple[int, str] | None":
    """The line and the words of what keeps a file from being compiled; None if nothing does."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            code = compile(file.read(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 0, str(error.msg)
    except (ValueError, OSError, RecursionError, MemoryError, OverflowError) as error:
        return 0, str(error) or type(error).__name__
    leave_bytecode(path, status, code)
    return None


def leave_bytecode(path: str, status: os.stat_result, code: "CodeType") -> None:
    """Write what an import of the file would (PEP 3147, PEP 552), where the wheel has brought none."""
    stamp = b"" if sys.version_info < (3, 7) else bytes(4)
    for number in (status.st_mtime, status.st_size):
        stamp += (int(number) & 0xFFFFFFFF).to_bytes(4, "little")
    try:
        content = importlib.util.MAGIC_NUMBER + stamp + marshal.dumps(code)
        place = importlib.util.cache_from_source(path)
        if not os.path.isdir(os.path.dirname(place)):
            os.mkdir(os.path.dirname(place))
        descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, status.st_mode & 0o666)
    except (OSError, ValueError, NotImplementedError):
        return  # an import leaves none either then
    try:
        write(descriptor, content)
    except OSError:
        os.unlink(place)
    finally:
        os.close(descriptor)


def main() -> None:
    """Read what to do and to what; report, and leave no destructor of a library a say."""
    token, channel, task, listing = read(0).decode().split("\n")
    with open(listing, encoding="utf-8", errors="surrogateescape") as file:
        paths = file.read()
    report = {"libraries": open_libraries, "sources": compile_sources}[task](paths)
    write(os.open(channel, os.O_WRONLY), f"\n{token} {report!a}\n".encode("ascii"))
    os._exit(0)


if __name__ == "__main__":
    main()
