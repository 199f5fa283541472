"""What was seen in a distro's sandbox. Nothing here judges."""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass, field, replace
from typing import Annotated

from msgspec import Meta

# Types whose bounds a reader of proofs checks, and that the published schema states.
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, lower-case hex")]
OptionalSha256 = Annotated[
    str,
    Meta(pattern="^([0-9a-f]{64})?$", description="SHA-256, lower-case hex; empty if there is none"),
]
Epoch = Annotated[float, Meta(description="seconds since 1970-01-01 UTC")]
Seconds = Annotated[float, Meta(description="seconds")]
Count = Annotated[int, Meta(ge=0)]
Ordinal = Annotated[int, Meta(ge=1, description="counted from 1")]
Pairs = Annotated[
    tuple[tuple[str, str], ...], Meta(description="pairs of a name and its version or digest")
]


_OF_SIGNAL = 128


class ImportKind(enum.Enum):
    """Why a name is imported: top-level names decide, extension modules and submodules inform.

    SUBMODULE and REQUIRED are modules inside packages that the setting `import-depth` asks for, the
    latter where their failures are to count as errors.
    ENTRY_POINT: the name is an object reference, `package.module:attribute`, that an installed program
    calls (the entry points specification); its module is imported and the attribute looked up.
    """

    TOP_LEVEL = "top-level"
    EXTENSION = "extension"
    SUBMODULE = "submodule"
    REQUIRED = "required submodule"
    ENTRY_POINT = "entry point"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportDepth:
    """How far below the imported names submodules are imported too (the setting `import-depth`).

    `levels` are packages, 0 for none, ALL_LEVELS for all. `decides`: a failure is an error, else an
    information.
    """

    levels: int = 0
    decides: bool = False

    def __str__(self) -> str:
        """As in the configuration."""
        levels = "all" if self.levels == ALL_LEVELS else str(self.levels)
        return f"{levels}:error" if self.decides else levels


ALL_LEVELS = -1


class ImportStatus(enum.Enum):
    """How the interpreter that imported one name ended."""

    OK = "ok"
    RAISED = "raised"
    EXITED = "exited"
    SIGNALLED = "signalled"
    HUNG = "hung"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedLibrary:
    """A shared library mapped into the interpreter after the import, from /proc/self/maps."""

    path: str
    from_wheel: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """One name, imported in a fresh interpreter of the trial's venv. Durations in seconds.

    `completed` tells whether the import itself came to its end: an interpreter may still crash or
    hang while it shuts down. `loaded`, where an extension module was imported with its package,
    are only the libraries that it added. `missing_module` is the name that a
    ModuleNotFoundError carried. `loader_words` is the dynamic loader's sentence if it was the loader
    that refused (`libx.so.1: cannot open …`).
    `signal` is the number, positive. `foreign_file` is the file that the module came from where that is
    not one of the wheel's; empty where it is, or where the module does not tell. `gil_enabled` tells
    that the import turned the GIL of a free-threaded Python on (PEP 703).
    """

    name: str
    kind: ImportKind
    status: ImportStatus
    completed: bool = False
    exception: str = ""
    message: str = ""
    missing_module: str = ""
    loader_words: str = ""
    traceback: str = ""
    output: str = ""
    exit_code: int | None = None
    signal: int | None = None
    duration: Seconds = 0.0
    loaded: tuple[LoadedLibrary, ...] = field(default=(), repr=False)
    foreign_file: str = ""
    gil_enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderCheck:
    """One installed ELF file resolved by the distro's own loader without being run.

    `problems` are the loader's words (missing library, symbol version not found, …), and how it ended
    where it failed without a word.
    """

    path: str
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def resolved(self) -> bool:
        """Whether the loader found everything; a refusal is never evidence for a wheel."""
        return not self.missing and not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOutcome:
    """A program in the venv's folder of scripts, started with `--version` and standard input closed.

    `refused` says why it could not be started (no execute permission, no such interpreter, exec format
    error); then nothing ran. `overdue` tells that it was still running at its time limit, which
    ended it. Files that are not ELF are not run (`ran` false): only whether they could be is looked at.
    """

    path: str
    refused: str = ""
    ran: bool = False
    exit_code: int | None = None
    signal: int | None = None
    overdue: bool = False
    output: str = ""

    @property
    def started(self) -> bool:
        """Whether the program, or what interprets it, can be started; how it ends is its own affair."""
        return not self.refused and (self.signal is None or self.overdue)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLibrary:
    """A shared library that was opened (dlopen(3)) in a process of its own.

    `lazily` and `at_once` are the loader's words where RTLD_LAZY or RTLD_NOW failed, empty where it
    opened. `beside` tells that it took other libraries of the wheel or of its requirements, opened
    before with RTLD_GLOBAL. `signal` is what killed the process, if anything did.
    """

    path: str
    lazily: str = ""
    at_once: str = ""
    beside: bool = False
    signal: int | None = None

    @property
    def opened(self) -> bool:
        """Whether the loader takes it, as a program that is linked with it would have it."""
        return not self.lazily and self.signal is None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxFault:
    """A Python file of the wheel (path below the venv) that the target's Python does not compile."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOutcome:
    """A console program that the configuration asked to run."""

    command: tuple[str, ...]
    exit_code: int | None
    signal: int | None
    output: str
    duration: Seconds


class CaseStatus(enum.Enum):
    """How one test of a project ended, in pytest's words; ERROR is a failure outside of its call.

    UNFINISHED: it had begun when the whole run of tests ended.
    """

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    UNFINISHED = "unfinished"

    @property
    def fails(self) -> bool:
        """Whether such a test makes its suite fail."""
        return self in {CaseStatus.FAILED, CaseStatus.ERROR, CaseStatus.UNFINISHED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One test: its id as pytest or unittest names it, and the last lines of what it said."""

    name: str
    status: CaseStatus
    duration: Seconds = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOutcome:
    """The project's own tests, run by its `test-command` in the trial's sandbox.

    `not_run` says why no test ran; empty where at least one did, or where the command does not tell.
    `skipped` says by which setting they were left out.
    `ran` is the number of tests that are known to have run, `counts` how they ended: (status, number).
    `cases` are single tests, of many only some: those that failed come first. `exit_code` is the
    command's as the shell gives it, `signal` what killed it, if anything did; `overdue` tells that it
    was still running after `test-timeout`. `complete` is false where a pytest began that did not come
    to its end. `output` is the command's, its middle left out where it is long.
    """

    command: str
    not_run: str = ""
    skipped: str = ""
    ran: Count = 0
    counts: tuple[tuple[str, Count], ...] = ()
    cases: tuple[CaseResult, ...] = field(default=(), repr=False)
    exit_code: int | None = None
    signal: int | None = None
    overdue: bool = False
    complete: bool = True
    output: str = field(default="", repr=False)
    duration: Seconds = 0.0

    @property
    def failing(self) -> tuple[CaseResult, ...]:
        """The tests that are known to have failed."""
        return tuple(case for case in self.cases if case.status.fails)

    @property
    def passed(self) -> bool:
        """Whether the command went well, and nothing is known that speaks against it."""
        ended = self.exit_code == 0 and self.signal is None and not self.overdue and self.complete
        return ended and not (self.not_run or self.skipped or self.failing)

    def shortened(self, slowest: int = 10) -> SuiteOutcome:
        """With only the tests that failed and the slowest of the others, as proofs keep it."""
        rest = [case for case in self.cases if not case.status.fails]
        rest.sort(key=lambda case: -case.duration)
        return replace(self, cases=(*self.failing, *rest[:slowest]))


def how_it_ended(code: int | None, number: int | None) -> str:
    """The end of a shell command in words: `exit code 139, killed by SIGSEGV`.

    A shell gives 128 more than the number of the signal that killed what it ran.
    """
    if number is None and code is not None and code > _OF_SIGNAL:
        number = code - _OF_SIGNAL
    try:
        name = "" if number is None else signal.Signals(number).name
    except ValueError:
        name = f"signal {number}" if code is None else ""
    parts = ("" if code is None else f"exit code {code}", f"killed by {name}" if name else "")
    return ", ".join(filter(None, parts)) or "no exit code"


def last_lines(text: str, count: int = 12) -> str:
    """The last lines of an output that say something."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])


class DifferenceKind(enum.Enum):
    """How an installed file differs from what was read in the wheel."""

    MISSING = "missing"
    SIZE = "other size"
    CONTENT = "other content"
    ADDED = "not in the wheel"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """An installed file (path below the virtual environment) that the wheel's bytes do not explain.

    `shared` tells that another installed distribution lists it as well.
    """

    path: str
    kind: DifferenceKind
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOutcome:
    """The distro's own pip at work. `output` is pip's words, in full.

    `pip_version` is that of the pip that installed, read before it did. `installed` is what was there
    afterwards: names and versions. `changed` are files of the virtual environment itself that are not
    what they were before (paths below it). `compared` is how many files of the wheel were held against
    what was installed, `differences` is what came of it.
    """

    ok: bool
    pip_version: str
    exit_code: int
    output: str
    duration: Seconds
    installed: Pairs = ()
    changed: tuple[str, ...] = ()
    compared: Count = 0
    differences: tuple[FileDifference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UvInstall:
    """uv with the same wheel and the same Python, in a folder of its own.

    `version` is empty where uv did not start there; `output`, its words, say why then. `unlike` are the
    wheel's files that pip and uv did not install alike: (path below the environment, what pip made of
    it, what uv made of it).
    """

    ok: bool
    version: str
    exit_code: int
    output: str
    duration: Seconds
    unlike: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that one trial saw. `started` is seconds since the epoch (UTC), durations are seconds.

    `remembered` tells that an earlier run saw it, in the same place and with the same bytes.
    `worker` is the name of the worker of a cluster that saw it; empty for this machine.
    `emulator` is what ran the programs, such as `qemu 7.2.22`; empty if the processor did.
    `added_python` is a Python that the distro does not package, such as `CPython 3.14.8 free-threaded,
    from source`, and `added_python_digest` that of its files; empty for the distro's own.
    `siblings` are wheels that this run built or was given, or that lay with them, and that were taken
    for what the wheel or its tests require: (file name, SHA-256).
    `compiled` are (name, version) of those that the run made of an index's source, for want of a wheel
    for the target.
    `extras` are sets of the wheel's extras, such as `fast,cli`: of a fault the one that it was seen
    with, else those that were tried too, each in a trial of its own. `lowest` are (name, version) of
    what was taken as old as the wheel admits it (the setting `resolution`). `kernel` is the version of
    Linux that it was to find, such as `4.18`: newer calls failed; empty for this machine's.
    `processor` is what its names were imported on, such as `x86-64-v1 (qemu 7.2.22)`; empty for this
    machine's.
    `uv` is None where only pip was to install.
    `syntax` are the files that did not compile. `left_out` are top-level names that the wheel offers
    and that the configuration (`imports`, `import-skip`) keeps from being imported.
    `tests` is None where no `test-command` is set, and where the wheel itself failed.
    `image_note` says what was not as usual with the image: a tag that moved, or a registry that did
    not answer, so that the root was made from the archive.
    """

    target: str
    image: str
    image_name: str
    image_source: str
    engine: str
    python: str
    libc: str
    install: InstallOutcome | None = None
    uv: UvInstall | None = None
    imports: tuple[ImportOutcome, ...] = ()
    loader: tuple[LoaderCheck, ...] = ()
    programs: tuple[ProgramOutcome, ...] = ()
    launches: tuple[LaunchOutcome, ...] = ()
    libraries: tuple[OpenedLibrary, ...] = ()
    syntax: tuple[SyntaxFault, ...] = ()
    left_out: tuple[str, ...] = ()
    started: Epoch = 0.0
    duration: Seconds = 0.0
    remembered: bool = False
    image_note: str = ""
    worker: str = ""
    emulator: str = ""
    tests: SuiteOutcome | None = None
    added_python: str = ""
    added_python_digest: str = ""
    siblings: Pairs = ()
    extras: tuple[str, ...] = ()
    lowest: Pairs = ()
    kernel: str = ""
    processor: str = ""
    compiled: Pairs = ()

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The names of all the wheel's extras that were tried."""
        return tuple(name for names in self.extras for name in names.split(","))


def signal_name(number: int | None) -> str:
    """`SIGSEGV` for 11; the number for signals that have no name here."""
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"
