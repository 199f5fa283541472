"""What a wheel offers other than names to import: programs, libraries, source files; and reports.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only. Nothing here
judges.
"""

import ast
import contextlib
import os
import shutil

from pytest_manylinux.trials.inside.processes import WORK, Task, random_word, run

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

LAUNCH = 10.0  # seconds for a program to say its version; one that still runs has been started
NOT_STARTED = 127  # what a shell and Task.become end with for a program that the kernel refused
LONGEST_LINE = 4096  # bytes of a first line that are looked at; Linux takes 256 of them (execve(2))
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_BESIDE = 400  # libraries of other distributions that are opened beside the wheel's own


def launch(
    files: "Iterable[tuple[str, bool]]", folder: str, left: "Callable[[], float]"
) -> "Iterator[dict[str, Any]]":
    """Start programs with `--version`; of files that are not ELF only look whether they could be.

    `folder` is the venv's folder of scripts, `left` gives the seconds that may be taken.
    """
    tasks = {}  # type: dict[Task, str]
    for path, is_elf in files:
        refused = refusal(path, folder, is_elf=is_elf)
        if is_elf and not refused:
            tasks[Task([path, "--version"], min(LAUNCH, left()))] = path
        else:
            yield {"path": path, "refused": refused, "ending": None}
    for task in run(tasks):
        ending = task.ending()
        words = str(ending["output"])
        unstarted = ending["exit_code"] == NOT_STARTED and words.startswith(f"{task.argv[0]}: ")
        refused = words[len(task.argv[0]) + 2 :].strip() if unstarted and "\n" not in words[:-1] else ""
        yield {"path": tasks[task], "refused": refused, "ending": ending}


def refusal(path: str, folder: str, *, is_elf: bool) -> str:
    """Say why a file cannot be executed: its mode, or the interpreter in its first line (execve(2)).

    What is neither ELF nor a script is refused by the kernel, though a shell would try it.
    """
    try:
        with open(path, "rb") as file:
            first = file.read(LONGEST_LINE).split(b"\n")[0]
            mode = os.fstat(file.fileno()).st_mode & 0o7777
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    is_script = first.startswith(b"#!")
    if not mode & 0o111:
        return f"it has no permission to be executed (mode {mode:04o})"
    if first.startswith(BYTE_ORDER_MARK):
        return "a byte order mark stands before its first line"
    if not is_elf and not is_script:
        return "it has no first line with #! and is not an ELF file"
    return wanted_of_line(first, folder) if is_script and not is_elf else ""


def wanted_of_line(first: bytes, folder: str) -> str:
    """Say whether the interpreter of a first line is there."""
    words = first[2:].decode("utf-8", "replace").split()
    if first.endswith(b"\r"):
        return "its first line ends with a carriage return, which is taken for a part of a name"
    if not words:
        return "its first line names no interpreter"
    if os.path.basename(words[0]) == "env":
        return wanted_of_env(words[1:], folder)
    return "" if os.path.exists(words[0]) else f"its interpreter {words[0]} is not there"


def wanted_of_env(words: "list[str]", folder: str) -> str:
    """Say whether env(1) finds the program that a first line asks it for."""
    names = [word for word in words if not word.startswith("-") and "=" not in word]
    path = os.pathsep.join((folder, os.environ.get("PATH", os.defpath)))
    if names and shutil.which(names[0], path=path) is None:
        return f"its interpreter {names[0]} is not there (asked of env)"
    return ""


def shared_files(folders: "Iterable[str]", left_out: "Iterable[str]") -> "list[str]":
    """The shared libraries below the folders, by their names, but for those left out."""
    skipped, found = set(left_out), []  # type: set[str], list[str]
    for top in folders:
        for folder, _, names in os.walk(top):
            places = [os.path.join(folder, name) for name in sorted(names) if ".so" in name]
            found += [place for place in places if place not in skipped and place not in found]
    return found[:MOST_BESIDE]


def examiner(python: "list[str]", work: str, paths: "list[str]", timeout: float) -> "tuple[Task, str]":
    """Prepare an interpreter that examines files (`sources` or `libraries`: examine.py).

    Gives it with the token that its report will bear.
    """
    token, pipe, listing = random_word(), f"{WORK}/{random_word()}", f"{WORK}/{random_word()}"
    with open(listing, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\0".join(paths))
    program = os.path.join(os.path.dirname(__file__), "examine.py")
    with open(program, encoding="utf-8") as file:
        argv = [*python, "-c", file.read()]
    return Task(argv, timeout, f"{token}\n{pipe}\n{work}\n{listing}".encode(), pipe), token


def reports(task: Task, token: str) -> "list[dict[str, Any]]":
    """Find what an importing interpreter, or forks that the import made, reported with the token."""
    found = []
    for line in task.report.text().splitlines():
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            report = ast.literal_eval(line[len(token) + 1 :]) if line.startswith(token) else None
            if isinstance(report, dict):
                found.append(report)
    return found
