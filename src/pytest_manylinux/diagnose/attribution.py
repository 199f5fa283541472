"""Which finding a failed import belongs to: each failure belongs to exactly one.

What the loader said of a library that was opened alone, or of a program, is a failure like an import's.

The checks ask here instead of each reading tracebacks, so that two checks never claim the same
failure and none is left over: what nothing else claims is an `import-error`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from signal import SIGILL

from pytest_manylinux.diagnose.abi3 import STABLE_ABIS
from pytest_manylinux.diagnose.elf_index import files_named, grafted_copies, needing, soname_conflicts
from pytest_manylinux.diagnose.extension_files import foreign_abi3, importer
from pytest_manylinux.diagnose.libraries import is_driver, is_libpython
from pytest_manylinux.diagnose.loader_model import is_optional
from pytest_manylinux.diagnose.loader_words import (
    LoaderWords,
    Refusal,
    is_on_path,
    read_words,
    spared_variants,
)
from pytest_manylinux.diagnose.modules import (
    TEST_FRAMEWORKS,
    blame_missing_module,
    built_for,
    declared,
)
from pytest_manylinux.diagnose.unresolved_symbols import is_lacked
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_DEPENDENCY_ABI = re.compile(
    r"size changed, may indicate binary incompatibility"
    r"|compiled against (?:ABI|API) version"
    r"|compiled using NumPy 1\.x cannot be run in"
    r"|numpy\.core\.(?:multiarray|umath) failed to import"
    r"|module was compiled against NumPy"
    r"|does not export expected C (?:function|variable)"
    r"|has wrong signature \(expected"
    r"|library version mismatch"
)
_NO_NAME = re.compile(
    r"cannot import name '(?P<name>\w+)' from (?:partially initialized module )?'(?P<package>[\w.]+)'"
)
_NOWHERE = "(unknown location)"
NO_INIT = "does not define module export function"
"""What CPython says of a file without an init function (importdl.c)."""

# Refusals that need no look at the wheel; the two others have functions.
_OF_REFUSAL = {
    Refusal.VERSION: "symbol-too-new",
    Refusal.STACK: "executable-stack",
    Refusal.TLS: "static-tls",
    Refusal.ALIGNMENT: "page-alignment",
    Refusal.ISA: "isa-level",
    Refusal.RELR: "relr-relocations",
    Refusal.TEXT: "text-relocations",
    Refusal.ARCHITECTURE: "wrong-architecture",
    Refusal.ASSERTION: "loader-refusal",
    Refusal.OTHER: "loader-refusal",
}
_ASSERTION = re.compile(r"Inconsistency detected by ld\.so: .*")
_NOT_FOUND = re.compile(r"No module named '([\w.]+)'")
# Symbols of Open MPI and MPICH, and the names that the MPI standard reserves for its C binding.
_MPI_NAMES = r"(?:ompi_|MPIR_|P?MPI_)"
_OF_MPI = re.compile(
    rf"undefined symbol: {_MPI_NAMES}|relocating .*: {_MPI_NAMES}\w+: symbol not found"
)
_NO_LOADER = "no such loader on this distro"
_UNCOMPILED = frozenset({"SyntaxError", "IndentationError", "TabError"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An import that did not end well, or a library or program that the loader refused.

    `severity`: an error if it can make the wheel not portable. `subject` is what was tried. `listed`:
    the library that the loader speaks of is needed by a file, the wheel's or a dependency's: the
    loader's own listing of an installed file has it among the missing ones. `uncompiled`: a file of
    the wheel does not compile with this Python, which is what the import met.
    """

    outcome: ImportOutcome
    words: LoaderWords | None
    severity: Severity
    subject: str
    listed: bool = False
    uncompiled: bool = False

    @property
    def decides(self) -> bool:
        """Whether it makes the wheel not portable."""
        return self.severity is Severity.ERROR

    @property
    def line(self) -> str:
        """The failure in one line of evidence."""
        return f"{self.subject}: {spoken(self.outcome)}"


def spoken(outcome: ImportOutcome) -> str:
    """How an import ended, in a few words."""
    match outcome.status:
        case ImportStatus.OK:
            return "imported"
        case ImportStatus.RAISED:
            return ": ".join(part for part in (outcome.exception, outcome.message) if part)
        case ImportStatus.EXITED:
            return f"the interpreter exited with code {outcome.exit_code}{_afterwards(outcome)}"
        case ImportStatus.SIGNALLED:
            return f"the interpreter was killed by signal {outcome.signal}{_afterwards(outcome)}"
        case ImportStatus.HUNG if outcome.completed:
            return f"imported; the interpreter did not end ({outcome.duration:.0f} s waited)"
        case ImportStatus.HUNG:
            return f"not ended after {outcome.duration:.0f} s"


def _afterwards(outcome: ImportOutcome) -> str:
    return " while it shut down, the import complete" if outcome.completed else ""


def failures(facts: WheelFacts, observation: Observation) -> Iterator[Failure]:
    """Everything that did not end well, in the order of the trial."""
    needed = {library for check in observation.loader for library in check.missing}
    bad = [one for one in observation.imports if one.status is not ImportStatus.OK]
    spared = spared_variants(facts, observation) if bad else frozenset()
    beside = any(one.kind is ImportKind.TOP_LEVEL and one.completed for one in observation.imports)
    for outcome in bad:
        words = _words(outcome)
        weight = _weight(outcome, words, facts, beside=beside)
        unused = weight is Severity.ERROR and outcome.name in spared
        yield Failure(
            outcome=outcome,
            words=words,
            severity=Severity.WARNING if unused else weight,
            subject=_subject(outcome),
            listed=words is not None and PurePosixPath(words.library).name in needed,
            uncompiled=outcome.exception in _UNCOMPILED and bool(observation.syntax),
        )
    yield from _refused_programs(observation)
    yield from _refused_libraries(facts, observation)


def _subject(outcome: ImportOutcome) -> str:
    verb = "entry point" if outcome.kind is ImportKind.ENTRY_POINT else "import"
    return f"{verb} {outcome.name}"


def _refused_programs(observation: Observation) -> Iterator[Failure]:
    """What the loader said of programs on PATH, missing libraries aside (loader_words.py)."""
    for check in observation.loader:
        for text in check.problems if check.problems and is_on_path(check.path) else ():
            if not text.endswith(_NO_LOADER):
                yield _refused(check.path, text, Severity.ERROR, f"the loader on {check.path}")


def _refused_libraries(facts: WheelFacts, observation: Observation) -> Iterator[Failure]:
    """Libraries that were opened and did not open.

    Where others did, a file whose name does not begin with `lib`, so that no program can be linked with
    it, is a plug-in: nobody need have what it is for; nor what a library is for where code of the wheel
    itself picks one, nor an MPI, which the program brings that is linked with a library for it (MKL has
    one for each). Neither need all symbols be there at once.
    """
    some = any(library.opened for library in observation.libraries)
    for library in observation.libraries:
        spared = is_optional(library.path, facts) or _OF_MPI.search(library.lazily) is not None
        weight = Severity.WARNING if some and spared else Severity.ERROR
        subject = f"dlopen {library.path}"
        if library.signal is not None:
            outcome = ImportOutcome(
                name=library.path,
                kind=ImportKind.TOP_LEVEL,
                status=ImportStatus.SIGNALLED,
                signal=library.signal,
            )
            yield Failure(outcome=outcome, words=None, severity=weight, subject=subject)
        elif library.lazily:
            yield _refused(library.path, library.lazily, weight, subject)
        elif library.at_once:
            yield _refused(library.path, library.at_once, Severity.WARNING, f"{subject} (RTLD_NOW)")


def _refused(path: str, text: str, severity: Severity, subject: str) -> Failure:
    outcome = ImportOutcome(
        name=path,
        kind=ImportKind.TOP_LEVEL,
        status=ImportStatus.RAISED,
        message=text,
        loader_words=text,
    )
    return Failure(outcome=outcome, words=_words(outcome), severity=severity, subject=subject)


def library_of(failure: Failure, facts: WheelFacts) -> str:
    """The library that a failure speaks of: its name, or the path by which a file needs it."""
    library = failure.words.library if failure.words else ""
    return library if needing(library, facts) else PurePosixPath(library).name


def missing_module(outcome: ImportOutcome, facts: WheelFacts) -> str:
    """The module that was not found; also one of the wheel's that a package imports from itself."""
    match = _NO_NAME.search(outcome.message)
    if outcome.missing_module or match is None:
        return outcome.missing_module
    package, name = match["package"], f"{match['package']}.{match['name']}"
    if outcome.message.endswith(_NOWHERE) and built_for(package, facts):
        return package  # a folder of its name is there too, with stubs, and was imported instead
    return name if built_for(name, facts) else ""


def no_code_of(failure: Failure, facts: WheelFacts) -> str:
    """The file of the wheel that a failure is about, if it is called like native code and is none."""
    text = failure.words.text if failure.words else ""
    name = failure.outcome.name
    own = [one.path for one in facts.module_files if one.name == name]
    return next((p for p, _ in facts.no_code if p in text or p in own), "")


def blamed(name: str, facts: WheelFacts, observation: Observation, target: Target) -> Iterator[Failure]:
    """The failures that belong to the finding called `name`."""
    return (f for f in failures(facts, observation) if blame(f, facts, target) == name)


def grouped(
    found: Iterable[Failure], key: Callable[[Failure], str]
) -> Iterator[tuple[str, list[Failure]]]:
    """Failures that share a key, decisive ones first; groups in order of appearance."""
    groups: dict[str, list[Failure]] = {}
    for failure in found:
        groups.setdefault(key(failure), []).append(failure)
    for word, members in groups.items():
        yield word, sorted(members, key=lambda failure: not failure.decides)


def blame(failure: Failure, facts: WheelFacts, target: Target) -> str:
    """The name of the finding that a failure belongs to."""
    outcome = failure.outcome
    match outcome.status:
        case ImportStatus.HUNG:
            return "hang"
        case ImportStatus.EXITED if failure.words is not None:
            return _OF_REFUSAL[failure.words.refusal]
        case ImportStatus.EXITED if outcome.kind is ImportKind.ENTRY_POINT:
            return "entry-point-broken"
        case ImportStatus.EXITED:
            return "import-exited"
        case ImportStatus.SIGNALLED:
            return _blame_signal(outcome, facts, target)
        case ImportStatus.OK | ImportStatus.RAISED:
            return _blame_exception(failure, facts, target)


def _blame_signal(outcome: ImportOutcome, facts: WheelFacts, target: Target) -> str:
    if outcome.signal == SIGILL:
        return "isa-level"
    return "abi3-free-threaded" if _holds_foreign_abi3(outcome, facts, target) else "crash"


def _holds_foreign_abi3(outcome: ImportOutcome, facts: WheelFacts, target: Target) -> bool:
    """Whether a module with another ABI than this Python's lies in the package that was imported."""
    package = re.split(r"[.:]", outcome.name)[0]
    found = foreign_abi3(facts, target.interpreter.version)
    return any(f"{one.name}.".startswith(f"{package}.") for one in found)


def _blame_exception(failure: Failure, facts: WheelFacts, target: Target) -> str:
    outcome = failure.outcome
    if failure.words is not None:
        return _blame_loader(failure, failure.words, facts, target)
    if failure.uncompiled:
        return "syntax-error"
    if _DEPENDENCY_ABI.search(f"{outcome.message}\n{outcome.output}"):
        return "dependency-abi"
    if NO_INIT in outcome.message:
        return "init-missing"
    if missing := missing_module(outcome, facts):
        found = blame_missing_module(missing, facts, target)
    elif any(place in outcome.message for elf in facts.elf for place in elf.baked_paths):
        found = "baked-path"
    elif outcome.exception == "SystemError" and _holds_foreign_abi3(outcome, facts, target):
        # "init function of _x returned uninitialized object": Python 3.13.5 of PyModuleDef_Init's.
        found = "abi3-free-threaded"
    else:
        found = "import-error"
    reference = outcome.kind is ImportKind.ENTRY_POINT
    if reference and found == "undeclared-dependency" and _is_called(missing, outcome.name):
        return "entry-point-broken"
    return "entry-point-broken" if reference and found == "import-error" else found


def _is_called(missing: str, reference: str) -> bool:
    """Whether a module that was not found is the one that an object reference names, or its package."""
    module = reference.partition(":")[0]
    return bool(missing) and f"{module}.".startswith(f"{missing}.")


def _blame_loader(failure: Failure, words: LoaderWords, facts: WheelFacts, target: Target) -> str:
    if words.refusal is Refusal.LIBRARY:
        return _blame_library(failure, facts, target)
    if words.refusal is Refusal.SYMBOL:
        return _blame_symbol(words, facts, target)
    if no_code_of(failure, facts):
        return "module-not-native"
    return _OF_REFUSAL[words.refusal]


def _blame_library(failure: Failure, facts: WheelFacts, target: Target) -> str:
    """A file that could not be opened: needed by this wheel's files, or looked for by its code."""
    name = library_of(failure, facts)
    if is_libpython(name):
        return "libpython-linked"
    if is_driver(name):
        return "needs-driver"
    own = files_named(name, facts)
    if needing(name, facts):
        grafted = "library-not-grafted" if grafted_copies(name, facts) else "missing-library"
        return "rpath-lost" if own else grafted
    # glibc skips a file of another machine and then says that it cannot open it.
    if own and all(elf.arch != target.arch for elf in own):
        return "wrong-architecture"
    # The import system speaks of an extension module with ImportError, ctypes of any library with
    # OSError. An ImportError on a library that no file here needs is a dependency's extension
    # module, or this wheel's own code that called dlopen and passed the words on.
    # Code that dlopen's by a short name says that it did not find `GL`.
    by_import_system = ".so" in name and _in_dependency(failure.outcome, facts)
    needed = failure.listed or by_import_system
    return "missing-library" if needed else "runtime-dlopen"


def _in_dependency(outcome: ImportOutcome, facts: WheelFacts) -> bool:
    """Whether the import system failed to load an extension module that is none of this wheel's."""
    if outcome.exception != "ImportError":
        return False
    frames = re.findall(r'File "([^"]+)"', outcome.traceback)
    last = next((f for f in reversed(frames) if "site-packages/" in f), "")
    inside = last.partition("site-packages/")[2]
    return bool(inside) and inside not in facts.files


def _blame_symbol(words: LoaderWords, facts: WheelFacts, target: Target) -> str:
    if words.symbol.startswith("PyUnicodeUCS"):
        return "ucs2"
    if words.symbol.startswith("PyFPE_"):
        return "fpe"
    if words.version.startswith(("GLIBC_", "GLIBCXX_", "CXXABI_")):
        return "symbol-too-new"
    if any(words.symbol in conflict.symbols for conflict in soname_conflicts(facts)):
        return "soname-twice"
    is_abi3 = any(tag.abi in STABLE_ABIS for tag in facts.wheel.tags)
    if is_abi3 and words.symbol.startswith(("Py", "_Py")):
        return "abi3-violation"
    libc = target.distro.libc
    lacked = libc.is_musl() and is_lacked(words.symbol, facts, libc.version)
    return "symbol-not-in-musl" if lacked else "undefined-symbol"


def _words(outcome: ImportOutcome) -> LoaderWords | None:
    if outcome.status is ImportStatus.EXITED and not outcome.completed:
        # The loader's own assertions end the process (exit code 127: elf/dl-minimal.c, dl-misc.c).
        assertion = _ASSERTION.search(outcome.output)
        return read_words(assertion[0]) if assertion else None
    if outcome.status is not ImportStatus.RAISED:
        return None
    if outcome.loader_words:
        known = read_words(outcome.loader_words)
        return known or LoaderWords(refusal=Refusal.OTHER, text=outcome.loader_words)
    if outcome.exception in {"ImportError", "OSError"}:
        return read_words(outcome.message)
    return None


def _weight(
    outcome: ImportOutcome, words: LoaderWords | None, facts: WheelFacts, *, beside: bool
) -> Severity:
    """Top-level imports decide, and so do submodules if asked for, and the objects that programs call.

    An extension module or another submodule may fail for reasons of its own (no display, an optional
    dependency, only to be imported through its package): that decides only where the loader refused the
    module itself, it has no init function, or the interpreter crashed. OSError is a library that Python
    code looked for, not the module. A program may want what an extra of the project brings, and so may
    a top-level name `beside` another that was imported (black's `blackd` wants the extra `d`). One that
    wants a framework of tests there is the project's own tests (libsass's `sasstests`). A module that
    ends the process as a program's entry point is looked up may be the program (ziglang's is).
    """
    if outcome.kind is ImportKind.ENTRY_POINT and outcome.status is ImportStatus.EXITED and not words:
        return Severity.WARNING
    is_beside = outcome.kind is ImportKind.TOP_LEVEL and beside
    if outcome.kind is ImportKind.ENTRY_POINT or is_beside:
        of_tests = is_beside and outcome.missing_module.partition(".")[0] in TEST_FRAMEWORKS
        return Severity.WARNING if of_tests or lacking_extras(outcome, facts) else Severity.ERROR
    if outcome.kind in {ImportKind.TOP_LEVEL, ImportKind.REQUIRED}:
        return Severity.ERROR
    if outcome.status is ImportStatus.SIGNALLED:
        return Severity.ERROR
    if NO_INIT in outcome.message or _is_of_another_python(outcome, facts):
        return Severity.ERROR
    decides = words is not None and outcome.exception != "OSError"
    return Severity.ERROR if decides else Severity.INFORMATION


def _is_of_another_python(outcome: ImportOutcome, facts: WheelFacts) -> bool:
    """Whether Python did not find the very module, named for another in its file and needed."""
    name = outcome.missing_module
    found = bool(name) and name == outcome.name and bool(built_for(name, facts))
    return found and bool(importer(name, facts))


def lacking_extras(outcome: ImportOutcome, facts: WheelFacts) -> tuple[str, ...]:
    """What an import did not find and only an extra brings: requirements as the wheel declares them.

    Code that catches Python's exception may raise one of its own, which has the first as its context or
    repeats its words.
    """
    if outcome.exception not in {"ImportError", "ModuleNotFoundError"}:
        return ()
    names = {outcome.missing_module, *_NOT_FOUND.findall(f"{outcome.message}\n{outcome.traceback}")} - {
        ""
    }
    found = (declared(name.partition(".")[0], facts) for name in sorted(names))
    return tuple(str(one) for one in found if one is not None and "extra" in str(one.marker or ""))
