"""The fourth stage of a trial: the project's own tests, after installation, imports and programs.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only. What this reads
was written by the tests themselves; nothing of it is believed beyond what the command's exit code says,
and nothing here judges.
"""

import contextlib
import json
import os

from pytest_manylinux.trials.inside import installed_files
from pytest_manylinux.trials.inside.processes import Task, run
from pytest_manylinux.trials.inside.suite_results import NAME, RESULTS

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

FOLDER = "/scratch/suite"
PROJECT = f"{FOLDER}/project"
WORKING = f"{FOLDER}/cwd"
ROOTS = ("", "src/", "lib/", "python/")  # where projects keep the packages that are installed
MODULES = (".py", ".pyc", ".so")
OF_TESTS = ("test", "tests", "testing", "conftest.py")
MOST_READ = 64 * 1024 * 1024  # bytes of results
MOST_TOLD = 4 * 1024 * 1024  # characters, of the agent's line
WEIGHT = ("unfinished", "failed", "error", "xpassed", "xfailed", "skipped", "passed")  # the first wins


class SuiteRun:
    """The steps of this stage. `steps` are request.py's SuiteSteps as read from JSON."""

    def __init__(
        self,
        steps: "dict[str, Any]",
        sites: "list[str]",
        python: str,
        run_pip: "Callable[[list[str]], object] | None",
    ) -> None:
        """Take what is asked; `sites` are the folders that installed modules lie in.

        `run_pip` stands for an interpreter that runs pip.
        """
        self.steps = steps
        self.sites = sites
        self.python = python
        self.run_pip = run_pip
        self.aside = None  # type: Task | None
        with open(os.path.join(os.path.dirname(__file__), "suite_results.py"), "rb") as file:
            self.plugin = file.read()  # now: what lies there later may be the wheel's

    def go(self, left: "Callable[[], float]", *, as_installed: bool) -> "dict[str, Any]":
        """Do all of it; gives the step that failed (empty: none), how it ended, and the results.

        `left` gives the seconds that installing the requirements may take. `as_installed` tells that
        the venv has the distributions that it had when the wheel was installed, and no others.
        """
        os.makedirs(WORKING)
        self.unpack()
        moved_in = self.is_aside() and as_installed and installed_files.move_in()
        if self.steps["pip"] and not moved_in:
            task = Task([self.python, "-m", "pip", *self.steps["pip"]], left())
            task.ready = self.run_pip
            ending = self.run(task)
            if ending["exit_code"] != 0:
                return told("install", ending)
        for site in self.sites[:1]:
            with open(f"{site}/{NAME}.py", "wb") as file:
                file.write(self.plugin)
        timeout = float(self.steps["timeout"])
        if self.steps["before"]:
            ending = self.run(Task(["/bin/sh", "-c", self.steps["before"]], timeout))
            if ending["exit_code"] != 0:
                return told("before", ending)
        ending = self.run(Task(["/bin/sh", "-c", self.steps["script"]], timeout))
        return dict(told("", ending), **read_results())

    def laying_aside(self) -> "list[Task]":
        """List what is to be run beside pip, if installed files are kept: a fork of this process."""
        if not self.steps["installed"]:
            return []
        self.aside = Task(["the files that tests require"], float(self.steps["timeout"]))
        self.aside.ready = self.lay_aside
        return [self.aside]

    def lay_aside(self, _: "list[str]") -> "NoReturn":
        """Be that fork."""
        installed_files.lay_aside(self.steps["installed"], self.steps["present"])
        os._exit(0)

    def is_aside(self) -> bool:
        """Whether that was done, and went well."""
        return self.aside is not None and self.aside.duration > 0 and self.aside.status == 0

    @staticmethod
    def run(task: Task) -> "dict[str, Any]":
        """Run a command to its end; nothing that it started is left."""
        list(run([task]))
        return task.ending()

    def unpack(self) -> None:
        """Lay out the project's tree, without what is installed, and of it what the command sees."""
        if not self.steps["tree"]:
            return
        import tarfile  # not free, and seldom needed

        with tarfile.open(self.steps["tree"]) as archive:
            archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
            for member in archive:
                name = member.name.partition("/")[2]
                if name and not self.is_installed(name):
                    archive.extract(member, FOLDER)
        for path in self.steps["sources"]:
            source, target = os.path.join(PROJECT, path), os.path.join(WORKING, path)
            os.makedirs(os.path.dirname(target.rstrip("/")), exist_ok=True)
            if os.path.isdir(source):
                copy_tree(source, target)
            elif os.path.lexists(source):
                copy_file(source, target)

    def is_installed(self, name: str) -> bool:
        """Whether a module of the tree is there in the venv: then the tests shall import that one.

        Tests lie inside of packages too, and are kept; so are files of data, which tests read by their
        places in the tree. A folder without modules hides no package of its name: a regular one
        further down sys.path comes first (PEP 420, "Specification").
        """
        if not name.endswith(MODULES) or any(part in OF_TESTS for part in name.split("/")):
            return False
        below = [name[len(root) :] for root in ROOTS if name.startswith(root)]
        return any(os.path.isfile(f"{site}/{path}") for site in self.sites for path in below)


def copy_tree(source: str, target: str) -> None:
    """Copy a folder into one that may be there; links stay links."""
    os.makedirs(target, exist_ok=True)
    for name in sorted(os.listdir(source)):
        one, other = os.path.join(source, name), os.path.join(target, name)
        if os.path.isdir(one) and not os.path.islink(one):
            copy_tree(one, other)
        else:
            copy_file(one, other)


def copy_file(source: str, target: str) -> None:
    """Copy a file or a link to where nothing is yet."""
    import shutil  # not free either

    if not os.path.lexists(target):
        shutil.copy2(source, target, follow_symlinks=False)


def told(step: str, ending: "dict[str, Any]") -> "dict[str, Any]":
    """Make the answer for a step that decided."""
    return {"step": step, "ending": ending, "sessions": 0, "ended": 0, "counts": {}, "cases": []}


def lines() -> "Iterator[dict[str, Any]]":
    """Yield what the plugin wrote, as far as it can be read."""
    with contextlib.suppress(OSError):
        descriptor = os.open(RESULTS, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            for line in file.read(MOST_READ).splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    words = json.loads(line.decode("ascii", "replace"))
                    if isinstance(words, dict):
                        yield words


def read_results() -> "dict[str, Any]":
    """Sum up what the sessions told: how many there were, how many ended, and how each test did."""
    sessions = ended = 0
    found = {}  # type: dict[tuple[int, str], dict[str, Any]]
    for words in lines():
        kind, name = words.get("kind"), str(words.get("test", ""))
        sessions += kind == "start"
        ended += kind == "end"
        key = (sessions, name)
        if kind == "begin":
            found.setdefault(key, {"status": "unfinished", "seconds": 0.0, "words": ""})
        elif kind == "test" and words.get("status") in WEIGHT:
            found[key] = worse(found.get(key), words)
    counts = {}  # type: dict[str, int]
    for case in found.values():
        counts[case["status"]] = counts.get(case["status"], 0) + 1
    return {"sessions": sessions, "ended": ended, "counts": counts, "cases": bounded(found)}


def worse(known: "dict[str, Any] | None", words: "dict[str, Any]") -> "dict[str, Any]":
    """Join what was known of a test with what is told now: its worst phase counts, times add up."""
    seconds = words.get("seconds", 0.0)
    seconds = float(seconds) if isinstance(seconds, (int, float)) else 0.0
    new = {"status": words["status"], "seconds": seconds, "words": str(words.get("words", ""))}
    if known is None or known["status"] == "unfinished":
        return new
    first = known if WEIGHT.index(known["status"]) <= WEIGHT.index(new["status"]) else new
    return dict(first, seconds=known["seconds"] + seconds)


def bounded(found: "dict[tuple[int, str], dict[str, Any]]") -> "list[list[Any]]":
    """List the tests, those that failed first, as many as a line can hold."""
    failing = WEIGHT[:3]
    order = sorted(found.items(), key=lambda item: item[1]["status"] not in failing)
    room, rows = MOST_TOLD, []
    for (_, name), case in order:
        room -= len(name) + len(case["words"]) + 60
        if room > 0:
            rows.append([name, case["status"], case["seconds"], case["words"]])
    return rows
