"""From the agent's answers and the loader's words to an Observation. Nothing missing becomes a success.

The loader's words are found in what an import raised, and in its own listing of a file. The sentences
are glibc's, in English where LANG is C.UTF-8, as it is in every sandbox. What they amount to is judged
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from signal import SIGILL

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.errors import SandboxError, TrialTimeoutError
from pytest_manylinux.model.observation import (
    ImportKind,
    ImportOutcome,
    ImportStatus,
    InstallOutcome,
    LaunchOutcome,
    LoadedLibrary,
    LoaderCheck,
    OpenedLibrary,
    ProgramOutcome,
    SuiteOutcome,
    SyntaxFault,
    UvInstall,
)
from pytest_manylinux.trials.judged_files import JudgedFiles
from pytest_manylinux.trials.protocol import (
    Answers,
    Elf,
    Ending,
    Files,
    GarbledError,
    Import,
    Launch,
    PipEnd,
    Processor,
    Program,
    Report,
    UvEnd,
    read_answers,
)
from pytest_manylinux.trials.request import VENV
from pytest_manylinux.trials.suite import suite_outcome

# From elf/dl-load.c, dl-version.c, dl-lookup.c, dl-reloc.c, dl-execstack.c, dl-tls.c, dl-open.c and
# sysdeps/x86 of glibc; from ldso/dynlink.c of musl.
_SENTENCES = re.compile(
    r"""
      cannot\ open\ shared\ object\ file
    | version\ [`'].+'\ not\ found
    | undefined\ symbol:
    | symbol\ \S+\ version\ \S+\ not\ defined\ in\ file
    | symbol\ \S+,\ version\ \S+\ not\ defined\ in\ file
    | cannot\ enable\ executable\ stack
    | cannot\ allocate\ memory\ in\ static\ TLS\ block
    | cannot\ (?:handle|allocate)\ TLS\ data
    | (?:invalid|nonzero\ padding\ in)\ (?:ELF\ header|e_ident)
    | wrong\ ELF\ class
    | file\ too\ short
    | ELF\ (?:load\ command|file|header)
    | DT_RELR\ without
    | CPU\ ISA\ level\ is\ lower
    | cannot\ (?:restore\ segment\ prot|make\ segment\ writable|apply\ additional\ memory\ protection)
    | failed\ to\ map\ segment
    | (?:cannot\ map|cannot\ change\ memory\ protections|object\ file\ has\ no)\b
    | rebuild\ shared\ object\ with
    | unexpected\ (?:reloc|PLT)
    | Error\ (?:loading\ shared\ library|relocating)\ .+:
    """,
    re.VERBOSE,
)
_ABSENT = re.compile(r"\s*(?P<library>\S+) => not found")
_ABSENT_ON_MUSL = re.compile(r"Error loading shared library (?P<library>[^\s:]+): No such file .*")
# Modules of Python find the interpreter's symbols in it, which a listing of theirs has not loaded.
_RELOCATION = re.compile(r"Error relocating .+")
_RESOLVED = re.compile(r"\s*\S+(?: => \S+)? \(0x[0-9a-f]+\)")


def loader_sentence(chain: Iterable[str]) -> str:
    """The loader's sentence among the words of errors that led to one another; empty if none."""
    for words in chain:
        for line in words.splitlines():
            if _SENTENCES.search(line):
                return line.strip()
    return ""


def read_listing(words: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read what `ld.so --list` wrote: the libraries that are missing, and its other complaints."""
    missing: dict[str, None] = {}
    problems: dict[str, None] = {}
    for line in words.splitlines():
        if _RELOCATION.fullmatch(line.strip()):
            continue
        if match := _ABSENT.fullmatch(line) or _ABSENT_ON_MUSL.fullmatch(line.strip()):
            missing[match["library"]] = None
        elif line.strip() and line.strip() != "statically linked" and not _RESOLVED.fullmatch(line):
            problems[line.strip()] = None
    return tuple(missing), tuple(problems)


def is_relocated(words: str) -> bool:
    """Whether musl's loader said of symbols that a listing does not find; it then ends with 127."""
    return any(_RELOCATION.fullmatch(line.strip()) for line in words.splitlines())


_OF_QEMU = re.compile(r"^qemu: uncaught target signal \d+ \([^)]*\) - core dumped\n?", re.MULTILINE)
# glibc's words where it is built for a newer level itself, and where a file's note asks for one
# (sysdeps/x86/dl-get-cpu-features.c, sysdeps/x86/dl-prop.h).
_NEWER_PROCESSOR = re.compile(r"CPU does not support x86-64-v|CPU ISA level is lower than required")
_NO_ROOM = re.compile(
    r"[^\n]*\[Errno (?:28|122)\] (?:No space left on device|Disk quota exceeded)[^\n]*"
)
"""How Python words ENOSPC and EDQUOT (Linux's errno.h), whichever pip it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the agent was to import, and where the wheel's own files are then (absolute paths).

    `offered` are the top-level names that the wheel's own files stand behind, `left_out` those of them
    that are not imported, `perhaps` those that may lie where Python does not look: they count if it
    finds them. `judged` are those files as they were judged; None: they are not compared.
    `suite` is the command that runs the project's own tests; empty without one.
    """

    imports: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    submodules_decide: bool = False
    entry_points: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    offered: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()
    perhaps: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    judged: JudgedFiles | None = None
    suite: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of the wheel in the sandbox."""

    python: str
    libc: str
    install: InstallOutcome
    imports: tuple[ImportOutcome, ...]
    loader: tuple[LoaderCheck, ...]
    programs: tuple[ProgramOutcome, ...]
    launches: tuple[LaunchOutcome, ...] = ()
    libraries: tuple[OpenedLibrary, ...] = ()
    syntax: tuple[SyntaxFault, ...] = ()
    tests: SuiteOutcome | None = None
    uv: UvInstall | None = None
    processor_note: str = ""


def look(completed: Completed, asked: Asked) -> Seen:
    """Read what the agent told before it ended, in whatever way it ended.

    Where the agent did not come to its end, that is only seen as the wheel's doing if it happened
    while the wheel was being imported (its code may kill or stop the agent). Raises
    TrialTimeoutError if pip was not done in time, SandboxError if what was told is no full account, or
    if the distro's Python does not start under the emulator though its processor is not why.
    """
    answers = _read(completed)
    if answers.start is None or answers.pip is None:
        raise _lost(completed, "before pip had ended")
    if answers.pip.ending.overdue:
        raise TrialTimeoutError(
            "pip did not end in time",
            why=answers.pip.ending.output[-1000:].strip() or "it had not said anything",
            remedy="give trials more time (trial-timeout)",
        )
    if answers.pip.ending.exit_code != 0:
        _check_room(answers.pip.ending.output)
    imports = _imports(answers, completed, asked)
    failed = any(outcome.status is not ImportStatus.OK for outcome in imports)
    if not answers.complete and not failed and not answers.suite_begun:
        raise _lost(completed, "before everything was imported")
    return Seen(
        python=answers.start.python,
        libc=answers.start.libc,
        install=_install(answers.pip, answers.files, asked),
        imports=imports,
        loader=tuple(map(_check, answers.elf)),
        programs=tuple(map(_program, answers.programs)),
        launches=tuple(map(_launch, answers.launches)),
        libraries=_opened(answers, asked),
        syntax=_syntax(answers),
        tests=suite_outcome(answers, completed, asked.suite) if asked.suite else None,
        uv=None if answers.uv is None else _uv(answers.uv),
        processor_note=_processor_note(answers.processor),
    )


def _processor_note(told: Processor | None) -> str:
    """Why the names were imported on this machine's processor after all; empty if they were not."""
    if told is None or told.ending.exit_code == 0:
        return ""
    words = _own_words(told.ending.output).strip()
    if told.ending.signal == SIGILL or _NEWER_PROCESSOR.search(words):
        return "its own Python is built for newer processors: imported on this machine's"
    raise SandboxError(
        "the distro's Python does not start on the emulated processor",
        why=words[-1000:] or "it said nothing",
        remedy="leave the setting processor out there, or try a newer qemu",
    )


def _uv(told: UvEnd) -> UvInstall:
    code = told.ending.exit_code
    return UvInstall(
        ok=code == 0,
        version=told.version,
        exit_code=-(told.ending.signal or 0) if code is None else code,
        output=_own_words(told.ending.output),
        duration=told.ending.duration,
        unlike=told.unlike,
    )


def _read(completed: Completed) -> Answers:
    try:
        return read_answers(completed.stdout)
    except GarbledError as error:
        raise SandboxError(
            "the trial's channel carried something that the trial did not say",
            why=str(error),
            remedy="nothing it told is believed; if the wheel's code did this, do not trust the wheel",
        ) from error


def _check_room(output: str) -> None:
    """Raise SandboxError if pip failed for want of room: that is not the wheel's fault."""
    match = _NO_ROOM.search(output)
    if match is not None:
        raise SandboxError(
            "no room left in /scratch or /tmp of the trial's sandbox",
            why=match[0],
            remedy="both lie in memory and have a limit: what pip unpacks has to fit into them",
        )


def _lost(completed: Completed, when: str) -> SandboxError:
    why = completed.reason(bound=1000)
    match completed.status:
        case Status.TIMED_OUT:
            return TrialTimeoutError(f"the trial did not end in time, {when}", why=why)
        case Status.SIGNALLED:
            how = f"was ended by signal {completed.signal}"
        case Status.EXITED:
            how = f"ended with exit code {completed.exit_code}"
        case Status.LOST:
            how = "was lost"
    return SandboxError(f"the trial {how} {when}", why=why)


def _own_words(output: str) -> str:
    """Without what qemu adds when a program of its dies of a signal (linux-user/signal.c)."""
    return _OF_QEMU.sub("", output)


def _install(pip: PipEnd, files: Files | None, asked: Asked) -> InstallOutcome:
    code = pip.ending.exit_code
    judged = asked.judged if code == 0 else None
    return InstallOutcome(
        ok=code == 0,
        pip_version=dict(_distributions(pip.before)).get("pip", ""),
        exit_code=-(pip.ending.signal or 0) if code is None else code,
        output=_own_words(pip.ending.output),
        duration=pip.ending.duration,
        installed=_distributions(pip.installed),
        changed=pip.changed,
        compared=len(judged.files) if judged else 0,
        differences=judged.differences(files) if judged else (),
    )


def _distributions(folders: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Name and version of each .dist-info folder, as its own name says."""
    names = [name.removesuffix(".dist-info").rpartition("-") for name in folders]
    return tuple((name, version) for name, _, version in names)


def _imports(answers: Answers, completed: Completed, asked: Asked) -> tuple[ImportOutcome, ...]:
    """The outcomes in the order asked, top-level names first."""
    kinds = dict.fromkeys(asked.imports, ImportKind.TOP_LEVEL)
    kinds |= {name: ImportKind.EXTENSION for name in asked.extensions if name not in kinds}
    deeper = ImportKind.REQUIRED if asked.submodules_decide else ImportKind.SUBMODULE
    kinds |= {name: deeper for name in asked.submodules if name not in kinds}
    kinds |= dict.fromkeys(asked.entry_points, ImportKind.ENTRY_POINT)
    found = {
        name: _came_along(name, kinds[name], report, asked)
        for name, report in _brought(answers)
        if name in kinds
    }
    if completed.status in {Status.TIMED_OUT, Status.SIGNALLED}:
        found |= {name: _cut(name, kinds[name], completed) for name in answers.unfinished}
    found |= {name: _outcome(told, kinds[name], asked) for name, told in answers.imports.items()}
    for name in asked.perhaps:
        if name in found and found[name].missing_module == name:  # it is nowhere on sys.path
            del found[name], kinds[name]
    done = answers.complete or answers.suite_begun
    if done and answers.pip and answers.pip.ending.exit_code == 0:
        _insist(kinds, found)
    return tuple(found[name] for name in kinds if name in found)


def _insist(kinds: Mapping[str, ImportKind], found: Mapping[str, ImportOutcome]) -> None:
    """Every name must have been tried.

    Excused are extension modules and entry points of a package that failed, and all others once an
    import hung: the trial's time may have been over.
    """
    if any(outcome.status is ImportStatus.HUNG for outcome in found.values()):
        return
    failed = [name for name, outcome in found.items() if outcome.status is not ImportStatus.OK]
    ends = tuple(f"{name}{mark}" for name in failed for mark in ".:")
    for name, kind in kinds.items():
        excused = kind is not ImportKind.TOP_LEVEL and name.startswith(ends)
        if name not in found and not excused:
            raise SandboxError(f"the trial said nothing of the import of {name}")


def _brought(answers: Answers) -> Iterator[tuple[str, Report]]:
    """Extension modules that were imported by way of their package."""
    for told in answers.imports.values():
        if told.report and _status(told.ending, told.report) is ImportStatus.OK:
            for name, file in told.report.inner.items():
                if file in told.report.loaded:
                    yield name, Report(status="ok", loaded=(file,))
    for beside in answers.beside.values():
        yield beside.name, beside.report


def _came_along(name: str, kind: ImportKind, report: Report, asked: Asked) -> ImportOutcome:
    return ImportOutcome(
        name=name,
        kind=kind,
        status=ImportStatus.OK if report.status == "ok" else ImportStatus.RAISED,
        duration=report.duration,
        loaded=_libraries(report.loaded, asked),
        completed=True,
        gil_enabled=report.gil,
    )


def _cut(name: str, kind: ImportKind, completed: Completed) -> ImportOutcome:
    """An import during which the agent itself was stopped or killed: nobody else was there to do it."""
    hung = completed.status is Status.TIMED_OUT
    return ImportOutcome(
        name=name,
        kind=kind,
        status=ImportStatus.HUNG if hung else ImportStatus.SIGNALLED,
        message=f"the trial itself was {'stopped' if hung else 'killed'} while {name} was imported",
        signal=completed.signal,
        duration=completed.duration,
    )


def _status(ending: Ending, report: Report | None) -> ImportStatus:
    """How the interpreter ended; OK only if it reported success, and then ended as it should."""
    if ending.overdue:
        return ImportStatus.HUNG
    if ending.signal is not None:
        return ImportStatus.SIGNALLED
    if report is None or report.status == "exited":
        return ImportStatus.EXITED
    if report.status == "raised":
        return ImportStatus.RAISED
    return ImportStatus.OK if ending.exit_code == 0 else ImportStatus.EXITED


def _outcome(told: Import, kind: ImportKind, asked: Asked) -> ImportOutcome:
    report, ending = told.report or Report(status="exited"), told.ending
    return ImportOutcome(
        name=told.name,
        kind=kind,
        status=_status(ending, told.report),
        exception=report.exception,
        message=_message(ending, told.report),
        missing_module=report.missing or "",
        loader_words=loader_sentence(report.chain),
        traceback=report.traceback,
        output=_own_words(ending.output),
        exit_code=ending.exit_code if report.code is None else report.code,
        signal=ending.signal,
        duration=ending.duration,
        loaded=_libraries(report.loaded, asked),
        completed=report.status == "ok",
        foreign_file=_foreign(told.name, report, asked),
        gil_enabled=report.gil,
    )


def _foreign(name: str, report: Report, asked: Asked) -> str:
    """Where a name that the wheel offers came from, if not from a file of the wheel."""
    own = name not in asked.offered or not report.file or report.file in asked.files
    return "" if own else report.file


def _message(ending: Ending, report: Report | None) -> str:
    if ending.overdue and report is None:
        return f"the import did not end within {ending.duration:.0f} seconds"
    if report is None:
        return "the interpreter ended before the import did"
    if report.status == "ok" and _status(ending, report) is not ImportStatus.OK:
        return "the import was complete; the interpreter failed while it shut down"
    return report.message


def _libraries(paths: Iterable[str], asked: Asked) -> tuple[LoadedLibrary, ...]:
    return tuple(
        LoadedLibrary(path=path, from_wheel=path in asked.files)
        for path in paths
        if ".so" in PurePosixPath(path).name
    )


def _check(elf: Elf) -> LoaderCheck:
    missing, problems = read_listing(elf.words)
    if elf.absent:
        problems = ("the file is not there after the installation",)
    elif elf.signal is not None:
        problems = (f"the loader was killed by signal {elf.signal}", *problems)
    elif elf.exit_code and not missing and not problems and not is_relocated(elf.words):
        problems = (f"the loader ended with exit code {elf.exit_code} and did not say why",)
    path = str(PurePosixPath(elf.path).relative_to(VENV))
    return LoaderCheck(path=path, missing=missing, problems=problems)


def _program(program: Program) -> ProgramOutcome:
    ending = program.ending
    return ProgramOutcome(
        command=program.command,
        exit_code=ending.exit_code,
        signal=ending.signal,
        output=_own_words(ending.output),
        duration=ending.duration,
    )


def _launch(launch: Launch) -> LaunchOutcome:
    ending = launch.ending
    return LaunchOutcome(
        path=str(PurePosixPath(launch.path).relative_to(VENV)),
        refused=launch.refused,
        ran=ending is not None and not launch.refused,
        exit_code=ending.exit_code if ending else None,
        signal=ending.signal if ending else None,
        overdue=ending.overdue if ending else False,
        output=ending.output if ending else "",
    )


def _opened(answers: Answers, asked: Asked) -> tuple[OpenedLibrary, ...]:
    """All libraries that were to be opened; raises SandboxError if the trial said nothing of one."""
    done = answers.complete or answers.suite_begun
    if answers.pip is None or answers.pip.ending.exit_code != 0 or not done:
        return ()
    told = {one.path: one for one in answers.libraries.opened} if answers.libraries else {}
    if set(told) != set(asked.libraries):
        raise SandboxError("the trial did not say of each library whether it can be opened")
    return tuple(
        OpenedLibrary(
            path=str(PurePosixPath(one.path).relative_to(VENV)),
            lazily=one.lazily,
            at_once=one.at_once,
            beside=one.beside,
            signal=one.signal,
        )
        for one in told.values()
    )


def _syntax(answers: Answers) -> tuple[SyntaxFault, ...]:
    faults = answers.sources.faults if answers.sources else ()
    return tuple(
        SyntaxFault(
            path=str(PurePosixPath(one.path).relative_to(VENV)), line=one.line, message=one.message
        )
        for one in faults
    )
