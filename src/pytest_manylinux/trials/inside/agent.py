"""The trial's hands inside the distro: installs one wheel, imports its names, tells what it saw.

Runs with the distro's own Python, 3.6 or later, and only the standard library, as
`python3 -I -S -B -c "…; main(REQUEST)"`. REQUEST is a JSON file; errand.py of this room writes it,
answers.py reads what is told. Nothing here judges.

Answers are lines on the descriptor that was standard output when the agent started:
`NONCE NUMBER JSON`. The first line brings the nonce, before any foreign code has run; lines are
numbered from 0; the last one is of the kind `end`. No child ever holds that descriptor. The code under
import has the agent's user id, so the agent makes itself undumpable (no ptrace, no /proc/PID/fd:
prctl(2)) and children run without capabilities. They can still kill the agent: then the last line is
missing.

An importing interpreter reports through a named pipe (import_one.py says why), with a token that it was
told before. Code inside the same interpreter that searches the interpreter's own frames can find that
token; nothing that runs in that process can be kept from it.
"""

import base64
import contextlib
import functools
import json
import marshal
import os
import sys
import time

from pytest_manylinux.trials.inside import examine, install_by_uv, installed_files
from pytest_manylinux.trials.inside.c_library import c_library, is_musl, own_loader
from pytest_manylinux.trials.inside.comparison import compare
from pytest_manylinux.trials.inside.launch import examiner, launch, reports, shared_files
from pytest_manylinux.trials.inside.processes import (
    WORK,
    Task,
    filter_calls,
    protect_agent,
    random_word,
    run,
)
from pytest_manylinux.trials.inside.run_suite import SuiteRun
from pytest_manylinux.trials.inside.venv_layout import PYTHON, VENV, lay_out

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

EXTRA = 25.0  # seconds for the forks that import_one.py makes, which it ends after 20


class Channel:
    """The way out: what was standard output, taken away from everything that is started later."""

    def __init__(self) -> None:
        """Take it, and leave /dev/null in its place."""
        self.descriptor = os.dup(1)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        self.nonce = random_word()
        self.number = 0

    def tell(self, kind: str, **words: object) -> None:
        """Send one line of a kind that answers.py knows; what is no text in UTF-8 becomes `?`."""
        line = json.dumps(dict(words, kind=kind), ensure_ascii=False)
        rest = f"{self.nonce} {self.number} {line}\n".encode("utf-8", "replace")
        self.number += 1
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]


class Trial:
    """One request (errand.py describes its keys), carried out step by step."""

    def __init__(
        self,
        request: "dict[str, Any]",
        tell: "Callable[..., None]",
        run_pip: "Callable[[list[str]], NoReturn] | None",
    ) -> None:
        """Take the request; `tell` sends a line; `run_pip` stands for an interpreter that runs pip."""
        self.request = request
        self.tell = tell
        self.run_pip = run_pip
        self.deadline = time.monotonic() + float(request["timeout"])
        self.is_own = not request["examiner"]  # this Python is the venv's
        self.importer = importer(compiled=self.is_own)  # now: what lies there later may be the wheel's
        self.fine = []  # type: list[str]
        self.installed = []  # type: list[str]
        self.inner = set()  # type: set[str]
        self.emulator = request.get("emulator") or []  # type: list[str]
        suite = request.get("suite")
        self.suite = None if suite is None else SuiteRun(suite, request["sites"], PYTHON, run_pip)

    def left(self, share: float = 1.0) -> float:
        """Seconds that a step may take: what is left, and of the whole at most `share`."""
        whole = float(self.request["timeout"])
        return max(min(self.deadline - time.monotonic(), whole * share), 0.1)

    def pip(self) -> bool:
        """Run the venv's pip, tell its words and what it changed; return whether it went well.

        What the venv's own pip is, and what the venv consists of, is read before: an installation may
        bring other files of these names.
        """
        before, own = self.distributions(), OwnFiles(self.request["venv"])
        packed = self.request["packed"]
        files = installed_files.files_of_venv() if packed else set()
        task = Task([PYTHON, "-m", "pip", *self.request["pip"]], self.left())
        task.ready = self.run_pip
        beside = self.suite.laying_aside() if self.suite else []
        list(run([task, *beside], 1 + len(beside)))
        self.installed = self.distributions()
        self.tell(
            "pip",
            ending=task.ending(),
            before=before,
            installed=self.installed,
            changed=own.changed(),
        )
        if packed and task.status == 0:
            installed_files.pack(files, self.request["sites"], packed)
        if task.status == 0 and self.request["files"]:
            self.tell("files", **compare(VENV, self.request))
        own.restore_interpreter()
        return task.status == 0

    def install_twice(self) -> bool:
        """Install by pip, and before that by uv if that is asked for; return whether pip went well."""
        if "uv" not in self.request or self.request["uv"] is None:
            return self.pip()
        whole = float(self.request["timeout"])
        by_uv = install_by_uv.install(self.request["uv"], VENV, whole)
        self.deadline = time.monotonic() + whole
        fine = self.pip()
        both = fine and by_uv["ending"]["exit_code"] == 0
        files = install_by_uv.unlike(self.request["files"], VENV) if both else []
        self.tell("uv", unlike=files, **by_uv)
        return fine

    def try_emulator(self) -> None:
        """Start Python as imports will be; a distro may be built for newer processors, then without."""
        if self.emulator:
            task = Task([*self.emulator, PYTHON, "-I", "-S", "-c", ""], self.left(0.25))
            list(run([task]))
            self.tell("processor", ending=task.ending())
            self.emulator = self.emulator if task.status == 0 else []

    def distributions(self) -> "list[str]":
        """The names of all .dist-info folders."""
        names = [name for site in self.request["sites"] for name in os.listdir(site)]
        return sorted({name for name in names if name.endswith(".dist-info")})

    def resolve(self) -> None:
        """Have the distro's own loader resolve ELF files without running them (ld.so(8)).

        The environment variable is what ldd uses; `--list` would stop at the first missing library.
        """
        tasks = {}  # type: dict[Task, str]
        for path, interpreter in self.request["elf"]:
            loader = os.path.realpath(interpreter or own_loader())
            if not os.path.isfile(path):
                self.tell("elf", path=path, words="", absent=True)
            elif os.path.isfile(loader) and loader.startswith(("/usr/", "/lib")):
                # musl's loader knows the option alone, and goes on after a missing library.
                option = ["--list"] if is_musl(loader) else []
                task = Task([loader, *option, path], self.left())
                task.environment["LD_TRACE_LOADED_OBJECTS"] = "1"
                tasks[task] = path
            else:
                self.tell("elf", path=path, words=f"{interpreter}: no such loader on this distro")
        for task in run(tasks, self.request["parallel"]):
            told = task.ending()
            words, code, number = told["output"], told["exit_code"], told["signal"]
            self.tell("elf", path=tasks[task], words=words, exit_code=code, signal=number)

    def load_one_by_one(self, names: "list[str]") -> None:
        """Import names that decide: no other code of the wheel is at work meanwhile, or was before.

        Names that are left when the time is over are not tried. The last one's interpreter is there to
        try the extension modules inside it too, once it has told how its import went.
        """
        start = StartUp(self.request["sites"])
        for number, name in enumerate(names):
            if number > 0:
                start.restore()
            last = number == len(names) - 1
            inside = [other for other in self.informing() if is_inside(other, name)]
            if time.monotonic() < self.deadline:
                self.load([name], inside if last else [])

    def informing(self) -> "list[str]":
        """The names that come after those that decide: extension modules, submodules, entry points."""
        request = self.request
        return [*request["extensions"], *request["submodules"], *request["entry_points"]]

    def load(self, names: "list[str]", inside: "list[str] | None" = None) -> None:
        """Import names, each in an interpreter of its own; note which other modules that brought.

        `inside` are extension modules to try besides, in forks, once a name has been imported.
        """
        tasks = {}  # type: dict[Task, tuple[str, str]]
        for name in names:
            task, token = self.importing(name, *(inside or []))
            tasks[task] = (name, token)
        for task in run(
            tasks, self.request["parallel"], lambda task: self.tell("begin", name=tasks[task][0])
        ):
            name, token = tasks[task]
            told = reports(task, token)
            found = [report for report in told if report.get("pid") == task.pid]
            report = found[0] if len(found) == 1 else None
            ending = task.ending()
            if inside and task.reported:
                ending["duration"] = task.reported - task.started
            self.tell("import", name=name, ending=ending, report=report)
            if report and report["status"] == "ok" and task.status == 0:
                self.fine.append(name)
                self.inner.update(
                    key for key, file in report["inner"].items() if file in report["loaded"]
                )
                self.tell_beside(told, inside or [])

    def tell_beside(self, told: "list[dict[str, Any]]", wanted: "list[str]") -> None:
        """Tell which of the wanted names forks have imported, or have seen come with their package.

        Of the first name itself only what it brought is told here. A source is in no map of memory.
        """
        for report in told:
            if report["status"] != "ok":
                continue
            name, brought = report.get("name"), report.get("inner", {})
            fine = [one for one, file in brought.items() if is_there(file, report["loaded"])]
            for one in fine if name is None else [name, *fine]:
                if one in wanted and one not in self.inner:
                    self.inner.add(one)
                    along = {"status": "ok", "loaded": report["loaded"] if name else []}
                    self.tell("beside", name=one, report=report if name else along)

    def importing(self, name: str, *more: str) -> "tuple[Task, str]":
        """Prepare an interpreter that imports `name`, with the token that its reports will bear."""
        token, pipe = random_word(), f"{WORK}/{random_word()}"
        words = "\n".join((token, pipe, name, *more)).encode()
        argv = [*self.emulator, PYTHON, "-X", "faulthandler", "-c", self.importer]
        return Task(argv, self.left(0.5) + (EXTRA if more else 0), words, pipe), token

    def load_extensions(self) -> None:
        """Import the extension modules that no import has brought yet, and look up entry points.

        `import a.b` imports `a` first, so where that failed the rest would only fail alike, and where
        it brought `a.b` along nothing is left to be seen. The others are tried in forks of one
        interpreter that has `a`; what does not succeed there gets an interpreter of its own.
        """
        failed = [name for name in self.request["imports"] if name not in self.fine]
        wanted = [one for one in self.informing() if not any(is_inside(one, name) for name in failed)]
        tasks = {}  # type: dict[Task, tuple[str, list[str]]]
        for name in self.fine[:-1] if self.fine[-1:] == self.request["imports"][-1:] else self.fine:
            inside = [other for other in wanted if is_inside(other, name) and other not in self.inner]
            if len(inside) > 1:
                task, token = self.importing(name, *inside)
                tasks[task] = (token, inside)
        for task in run(tasks, self.request["parallel"]):
            token, inside = tasks[task]
            self.tell_beside(reports(task, token), inside)
        self.load([name for name in wanted if name not in self.inner])

    def compile_sources(self) -> None:
        """Compile the wheel's Python files, as an import or another installer would."""
        paths = self.request["sources"]
        if not paths:
            return
        python = [PYTHON, "-I", "-S", "-B", "-W", "ignore"]
        task, token = examiner(python, "sources", paths, self.left(0.5))
        if self.is_own:
            task.ready = compile_in_fork  # it runs no code of theirs, and no other compiler is needed
        list(run([task]))
        for report in reports(task, token):
            self.tell("sources", compiled=report["compiled"], faults=report["faults"])

    def open_libraries(self) -> None:
        """Open the libraries of a wheel that has nothing else to try."""
        own = self.request["libraries"]
        if not own:
            return
        folders = [*self.request["sites"], f"{VENV}/lib"]
        listing = [*own, "", *shared_files(folders, own)]
        python = self.request["examiner"] or PYTHON
        task, token = examiner([*self.emulator, python, "-I"], "libraries", listing, self.left(0.5))
        list(run([task]))
        for report in reports(task, token):
            self.tell("libraries", opened=report["opened"])

    def launch(self) -> None:
        """Start the wheel's programs, or look whether they could be started."""
        for found in launch(self.request["launches"], f"{VENV}/bin", lambda: self.left(0.5)):
            self.tell("launch", **found)

    def programs(self) -> None:
        """Run the programs that the configuration asks for, by their names in the venv's bin."""
        for name, *arguments in self.request["programs"]:
            (task,) = run([Task([f"{VENV}/bin/{name}", *arguments], self.left(0.5))])
            self.tell("program", command=[name, *arguments], ending=task.ending())

    def run_suite(self) -> None:
        """Run the project's own tests, if there are any and every name that decides was imported."""
        if self.suite is None or set(self.request["imports"]).difference(self.fine):
            return
        self.tell("suite-begin")
        self.deadline = time.monotonic() + float(self.request["timeout"])  # of what is installed now
        as_installed = self.distributions() == self.installed
        self.tell("suite", **self.suite.go(self.left, as_installed=as_installed))


def compile_in_fork(_: "list[str]") -> None:
    """Be an interpreter that compiles what is asked for on standard input; never returns."""
    import warnings

    os.closerange(3, 1024)
    warnings.simplefilter("ignore")
    examine.main()


class OwnFiles:
    """The files and links that the venv itself consists of: interpreter, pyvenv.cfg, activate, pip."""

    def __init__(self, entries: "list[list[Any]]") -> None:
        """Remember what was laid out."""
        self.entries = [entry for entry in entries if entry[0] != "folder"]

    def changed(self) -> "list[str]":
        """The paths, below the venv, of those that are gone or not what they were."""
        return sorted(path for kind, path, _, content in self.entries if not is_as(kind, path, content))

    def restore_interpreter(self) -> None:
        """Put links and pyvenv.cfg back: what is told of imports is told of this Python."""
        for kind, path, mode, content in self.entries:
            if (kind == "link" or path == "pyvenv.cfg") and not is_as(kind, path, content):
                remove(os.path.join(VENV, path))
                lay_out([[kind, path, mode, content]], [])


def is_as(kind: str, path: str, content: str) -> bool:
    """Whether a part of the venv is as its layout says."""
    place = os.path.join(VENV, path)
    if kind == "link":
        return os.path.islink(place) and os.readlink(place) == content
    wanted = base64.b64decode(content)
    return read_bytes(place, len(wanted)) == wanted


class StartUp:
    """The files that every interpreter of the venv reads before the code that it is to run.

    An import may write some, and compiled files of modules that it knows will be imported later.
    """

    def __init__(self, sites: "list[str]") -> None:
        """Remember them as they are now, which is as pip left them."""
        self.sites = sites
        self.python = os.readlink(PYTHON)
        self.files = {path: read_bytes(path) for path in self.paths()}

    def paths(self) -> "list[str]":
        """Their paths: pyvenv.cfg, and what the module site looks for."""
        names = [os.path.join(site, name) for site in self.sites for name in os.listdir(site)]
        found = [name for name in names if is_start_up(os.path.basename(name))]
        return [f"{VENV}/pyvenv.cfg", *found]

    def restore(self) -> None:
        """Make them what they were, and forget all compiled files that imports have left."""
        for path in set(self.paths()).difference(self.files):
            remove(path)
        for path, content in self.files.items():
            if read_bytes(path, len(content or b"")) != content:
                remove(path)
                write_bytes(path, content)
        if not os.path.islink(PYTHON) or os.readlink(PYTHON) != self.python:
            remove(PYTHON)
            os.symlink(self.python, PYTHON)
        for site in self.sites:
            for folder, names, _ in os.walk(site):
                if "__pycache__" in names:
                    remove(os.path.join(folder, "__pycache__"))


def is_inside(name: str, package: str) -> bool:
    """Whether a dotted name, or an object reference, begins with that package or module."""
    return name.startswith((f"{package}.", f"{package}:"))


def is_there(file: str, loaded: "list[str]") -> bool:
    """Whether a module came from a file that is mapped into memory, or from a source, which is not."""
    return file in loaded or ".so" not in os.path.basename(file)


def is_start_up(name: str) -> bool:
    """Whether the module site reads a file or folder of this name."""
    return name.endswith(".pth") or name.partition(".")[0] in ("sitecustomize", "usercustomize")


def read_bytes(path: str, most: int = -1) -> "bytes | None":
    """Read a file, of a longer one than `most` a byte more; None for what is none.

    Nothing is waited for: a pipe may lie there by now.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            return file.read(most + 1 if most >= 0 else -1)
    except OSError:
        return None


def open_at_once(path: str, flags: int) -> int:
    """Open what is no link, without waiting for anybody at its other end."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def write_bytes(path: str, content: "bytes | None") -> None:
    """Write a file; None writes nothing."""
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)


def remove(path: str) -> None:
    """Remove a file, a link or a folder with all in it, as far as that can be."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path, ignore_errors=True)


@functools.lru_cache(maxsize=None)
def importer(*, compiled: bool) -> str:
    """Give the program that importing interpreters run; `compiled` for those of this Python alone.

    Made once, in a preloaded process before its forks.
    """
    with open(os.path.join(os.path.dirname(__file__), "import_one.py"), encoding="utf-8") as file:
        source = file.read()
    if not compiled:
        return source
    code = compile(source, "<string>", "exec", dont_inherit=True)
    return "import marshal; exec(marshal.loads(bytes.fromhex('%s')))" % marshal.dumps(code).hex()


def main(path: str, run_pip: "Callable[[list[str]], NoReturn] | None" = None) -> None:
    """Carry out the request in the file at `path`; `run_pip`: see preload_pip.py."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    channel = Channel()
    protect_agent()
    filter_calls(bytes.fromhex(request.get("system_calls", "")))
    channel.tell("start", python=sys.version.split()[0], libc=c_library())
    os.mkdir(WORK)
    trial = Trial(request, channel.tell, run_pip)
    lay_out(request["venv"], request["copies"])
    if trial.install_twice():
        trial.resolve()
        trial.compile_sources()
        trial.try_emulator()
        trial.load_one_by_one(request["imports"])
        trial.load_extensions()
        trial.launch()
        trial.programs()
        trial.open_libraries()
        trial.run_suite()
    channel.tell("end")
