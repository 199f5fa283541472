"""What the agent told, read strictly: anything else on its channel is no answer.

The form of the lines is in agent.py. A line that breaks it means that something else got hold of the
channel, or that the output was cut: then nothing of it can be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from pytest_manylinux.decoding import json_decoder

_LINE = re.compile(rb"(?P<nonce>[0-9a-f]{32}) (?P<number>\d{1,9}) (?P<content>\{.*\})")


class GarbledError(ValueError):
    """The channel carried something that the agent does not say."""


class Ending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a child process ended: by exit code or signal (positive); `duration` is seconds."""

    exit_code: int | None
    signal: int | None
    overdue: bool
    output: str
    duration: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an importing interpreter said of itself (import_one.py).

    `gil` tells that the GIL of a free-threaded Python was turned on by what was imported.
    """

    status: Literal["ok", "raised", "exited"]
    loaded: tuple[str, ...] = ()
    inner: dict[str, str] = {}
    exception: str = ""
    message: str = ""
    traceback: str = ""
    chain: tuple[str, ...] = ()
    missing: str | None = None
    code: int | None = None
    duration: float = 0.0
    file: str = ""
    gil: bool = False


class Told(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """A line of the agent."""


class Start(Told, frozen=True, tag="start"):
    """The first line: the distro's Python and C library."""

    python: str
    libc: str


class PipEnd(Told, frozen=True, tag="pip"):
    """pip has ended.

    `before` and `installed` are the names of all .dist-info folders before and after; `changed` are
    the venv's own files, paths below it, that are no longer what they were before.
    """

    ending: Ending
    before: tuple[str, ...]
    installed: tuple[str, ...]
    changed: tuple[str, ...] = ()


class UvEnd(Told, frozen=True, tag="uv"):
    """uv has ended, too; `version` is empty where it did not start.

    `unlike` are files of which the two made different things: (path below the venv, what pip made of
    it, what uv made of it).
    """

    version: str
    ending: Ending
    unlike: tuple[tuple[str, str, str], ...]


class ToldDifference(msgspec.Struct, frozen=True, array_like=True):
    """A file of the wheel that is not as it was judged: `size` None if it is not there.

    `digest` is its SHA-256 if only that differs; `shared` tells that another distribution lists it too.
    """

    path: str
    size: int | None
    digest: str
    shared: bool


class Files(Told, frozen=True, tag="files"):
    """What pip installed, held against the wheel's files: their number, differences, files besides."""

    compared: int
    differing: tuple[ToldDifference, ...]
    besides: tuple[str, ...]


class Elf(Told, frozen=True, tag="elf"):
    """The loader's words on a file; `absent` if there is no such file.

    `exit_code` is the loader's, None where `signal` ended it; 0 where it was not asked.
    """

    path: str
    words: str
    absent: bool = False
    exit_code: int | None = 0
    signal: int | None = None


class Processor(Told, frozen=True, tag="processor"):
    """The distro's Python was started on the emulated processor, and has ended."""

    ending: Ending


class Begin(Told, frozen=True, tag="begin"):
    """An interpreter that imports `name` is about to start."""

    name: str


class Import(Told, frozen=True, tag="import"):
    """That interpreter has ended; no report if it did not make exactly one."""

    name: str
    ending: Ending
    report: Report | None


class Beside(Told, frozen=True, tag="beside"):
    """An extension module that was imported beside others, once its package was there."""

    name: str
    report: Report


class Program(Told, frozen=True, tag="program"):
    """A program has ended."""

    command: tuple[str, ...]
    ending: Ending


class Launch(Told, frozen=True, tag="launch"):
    """A program of the wheel was started, or why not; `ending` None if it was only looked at."""

    path: str
    refused: str = ""
    ending: Ending | None = None


class Opened(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How opening one library went: the loader's words for RTLD_LAZY and RTLD_NOW, empty if opened."""

    path: str
    lazily: str = ""
    at_once: str = ""
    beside: bool = False
    signal: int | None = None


class Libraries(Told, frozen=True, tag="libraries"):
    """The libraries that were opened, each in a process of its own."""

    opened: tuple[Opened, ...]


class SourceFault(msgspec.Struct, frozen=True, array_like=True):
    """A Python file (absolute path), the line and the words of what is wrong with it."""

    path: str
    line: int
    message: str


class Sources(Told, frozen=True, tag="sources"):
    """How many Python files were compiled, and those that could not be."""

    compiled: int
    faults: tuple[SourceFault, ...]


class SuiteBegin(Told, frozen=True, tag="suite-begin"):
    """The project's own tests are about to be prepared and run."""


class ToldCase(msgspec.Struct, frozen=True, array_like=True):
    """A test of the project: its id, how it ended (model.observation.CaseStatus), seconds, words."""

    name: str
    status: str
    seconds: float
    words: str


class Suite(Told, frozen=True, tag="suite"):
    """The project's own tests have ended, or what comes before them has failed: then `step` names it.

    `sessions` are the pytest sessions that began, `ended` those that came to their end. `counts` are of
    all tests by status, `cases` as many of them as fit.
    """

    step: Literal["", "install", "before"]
    ending: Ending
    sessions: int
    ended: int
    counts: dict[str, int]
    cases: tuple[ToldCase, ...]


class End(Told, frozen=True, tag="end"):
    """The last line: everything was done."""


_DECODER = json_decoder(
    Start
    | PipEnd
    | UvEnd
    | Files
    | Elf
    | Processor
    | Begin
    | Import
    | Beside
    | Program
    | Launch
    | Libraries
    | Sources
    | SuiteBegin
    | Suite
    | End
)


@dataclass(slots=True)
class Answers:
    """All that an agent told. `complete` if it came to its end."""

    start: Start | None = None
    pip: PipEnd | None = None
    uv: UvEnd | None = None
    files: Files | None = None
    elf: list[Elf] = field(default_factory=list)
    processor: Processor | None = None
    begun: list[str] = field(default_factory=list)
    imports: dict[str, Import] = field(default_factory=dict)
    beside: dict[str, Beside] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    libraries: Libraries | None = None
    sources: Sources | None = None
    suite_begun: bool = False
    suite: Suite | None = None
    complete: bool = False

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The names whose import began and was not seen to end."""
        return tuple(name for name in self.begun if name not in self.imports)


def read_answers(data: bytes) -> Answers:
    """Read the agent's channel.

    Output that stops in the middle gives what was told until then, not `complete`. Raises
    GarbledError for lines that are not the agent's, out of order, or after the end.
    """
    answers = Answers()
    for number, content in enumerate(_contents(data)):
        try:
            told = _DECODER.decode(content)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise GarbledError(f"line {number}: {error}") from error
        if (number == 0) is not isinstance(told, Start) or answers.complete:
            raise GarbledError(f"line {number} is out of order")
        _take(answers, told)
    return answers


def _contents(data: bytes) -> Iterator[bytes]:
    nonce = b""
    *lines, _ = data.split(b"\n")  # the last part is empty, or a line that was cut
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if (
            match is None
            or int(match["number"]) != number
            or match["nonce"] != (nonce or match["nonce"])
        ):
            raise GarbledError(f"line {number} is not the agent's")
        nonce = match["nonce"]
        yield match["content"]


def _take(answers: Answers, told: Told) -> None:
    match told:
        case Start():
            answers.start = told
        case PipEnd():
            answers.pip = told
        case Elf():
            answers.elf.append(told)
        case Begin():
            answers.begun.append(told.name)
        case Import(name=name) if name in answers.unfinished:
            answers.imports[name] = told
        case Beside():
            answers.beside[told.name] = told
        case End():
            answers.complete = True
        case _:
            _take_offered(answers, told)


def _take_offered(answers: Answers, told: Told) -> None:
    match told:
        case Files():
            answers.files = told
        case UvEnd():
            answers.uv = told
        case Processor():
            answers.processor = told
        case Program():
            answers.programs.append(told)
        case Launch():
            answers.launches.append(told)
        case Libraries():
            answers.libraries = told
        case Sources():
            answers.sources = told
        case SuiteBegin():
            answers.suite_begun = True
        case Suite() if answers.suite_begun:
            answers.suite = told
        case _:
            raise GarbledError(f"an import that had not begun: {told!r}")
