"""The dynamic loader's sentences read, and what it said of the installed files without running them.

The sentences are glibc's (elf/dl-load.c, dl-version.c, dl-lookup.c, dl-execstack.c, dl-reloc.c,
dl-tls.c and sysdeps/x86/dl-cet.c, dl-hwcaps checks); they are not translated where LANG is C.UTF-8,
as it is in every sandbox. Those of musl are from its ldso/dynlink.c.

A library that the loader does not find this way is not always missing in life: a package may load
it first, by its path, before the extension module that needs it (what PyTorch and others do with
their own libraries); the loader then takes the one that is already there. So the words count as an
error only for commands, which nothing loads anything for, and for extension modules whose import
failed as well. Beside an import that went well they are a warning, with the evidence, and for programs
inside a package too: a wrapper may start those with a search path of its own.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.diagnose.modules import variants
from pytest_manylinux.model.observation import ImportStatus, LoaderCheck, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import SITE, WheelFacts, environment_path


class Refusal(enum.Enum):
    """Why the loader refused a file."""

    LIBRARY = "library"
    VERSION = "version"
    SYMBOL = "symbol"
    STACK = "stack"
    TLS = "tls"
    ALIGNMENT = "alignment"
    ISA = "isa"
    RELR = "relr"
    TEXT = "text"
    ARCHITECTURE = "architecture"
    ASSERTION = "assertion"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderWords:
    """One sentence of the loader, taken apart; what the sentence does not say is empty.

    `library` is the file that is missing or lacks something, `file` the one that wants it.
    """

    refusal: Refusal
    text: str
    library: str = ""
    symbol: str = ""
    version: str = ""
    file: str = ""


_SENTENCES: tuple[tuple[Refusal, str], ...] = (
    (Refusal.ASSERTION, r"Inconsistency detected by ld\.so: .*"),
    (
        Refusal.RELR,
        r"version [`']GLIBC_ABI_DT_RELR' not found(?: \(required by (?P<file>[^)]+)\))?",
    ),
    (Refusal.RELR, r"DT_RELR without GLIBC_ABI_DT_RELR dependency"),
    (
        Refusal.VERSION,
        (
            r"(?:(?P<library>[^\s:]+): )?version [`'](?P<version>[^']+)' not found"
            r"(?: \(required by (?P<file>[^)]+)\))?"
        ),
    ),
    (
        Refusal.SYMBOL,
        (
            r"symbol (?P<symbol>[^\s,]+), version (?P<version>\S+) not defined in file "
            r"(?P<library>\S+) with link time reference"
        ),
    ),
    (
        Refusal.SYMBOL,
        (
            r"(?:(?P<file>[^\s:]+): )?undefined symbol: (?P<symbol>[^\s,]+)"
            r"(?:, version (?P<version>\S+))?"
        ),
    ),
    (Refusal.STACK, r"(?:(?P<file>[^\s:]+): )?cannot enable executable stack"),
    (Refusal.TLS, r"(?:(?P<file>[^\s:]+): )?cannot allocate memory in static TLS block"),
    (
        Refusal.ALIGNMENT,
        (
            r"(?:(?P<file>[^\s:]+): )?ELF load command (?:address/offset|alignment) not "
            r"(?:properly aligned|page-aligned)"
        ),
    ),
    (Refusal.ISA, r"(?:(?P<file>[^\s:]+): )?CPU ISA level is lower than required"),
    (Refusal.TEXT, r"(?:(?P<file>[^\s:]+): )?cannot restore segment prot after reloc"),
    (Refusal.TEXT, r"(?:(?P<file>[^\s:]+): )?cannot make segment writable for relocation"),
    (Refusal.ARCHITECTURE, r"(?:(?P<file>[^\s:]+): )?wrong ELF class"),
    (Refusal.ARCHITECTURE, r"(?:(?P<file>[^\s:]+): )?ELF file .* does not match"),
    (
        Refusal.LIBRARY,
        (
            r"Error loading shared library (?P<library>[^\s:]+): No such file or directory"
            r"(?: \(needed by (?P<file>[^)]+)\))?"
        ),
    ),
    (Refusal.ARCHITECTURE, r"Error loading shared library (?P<file>[^\s:]+): Exec format error"),
    (Refusal.OTHER, r"Error loading shared library (?P<file>[^\s:]+): .+"),
    (
        Refusal.TLS,
        r"Error relocating (?P<file>[^\s:]+): \S+: initial-exec TLS resolves to dynamic definition",
    ),
    (Refusal.SYMBOL, r"Error relocating (?P<file>[^\s:]+): (?P<symbol>[^\s:]+): symbol not found"),
    (Refusal.OTHER, r"Error relocating (?P<file>[^\s:]+): .+"),
    (Refusal.OTHER, r"(?:(?P<file>[^\s:]+): )?shared object cannot be dlopen\(\)ed"),
    (Refusal.LIBRARY, r"(?P<library>[^\s:'\"]+): cannot open shared object file"),
    (Refusal.OTHER, r"(?:(?P<file>[^\s:]+): )?invalid ELF header"),
    (Refusal.OTHER, r"(?:(?P<file>[^\s:]+): )?file too short"),
    (Refusal.OTHER, r"(?:(?P<file>[^\s:]+): )?cannot (?:map|apply|dynamically|read|create)\b"),
    (Refusal.OTHER, r"(?:(?P<file>[^\s:]+): )?failed to map segment from shared object"),
)


@cache
def _patterns() -> tuple[tuple[Refusal, re.Pattern[str]], ...]:
    """Compiled when a trial's words are read: predictions import this module too."""
    return tuple((refusal, re.compile(pattern)) for refusal, pattern in _SENTENCES)


def read_words(text: str) -> LoaderWords | None:
    """Take the loader's sentence apart; None if the text is none of the loader's sentences."""
    for refusal, pattern in _patterns():
        if match := pattern.search(text):
            named = {key: value for key, value in match.groupdict().items() if value}
            return LoaderWords(refusal=refusal, text=text.strip(), **named)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderProblem:
    """Words of the loader about one installed file; `text` is a library or a sentence."""

    path: str
    text: str
    severity: Severity
    note: str = ""

    @property
    def line(self) -> str:
        """The problem in one line of evidence."""
        return f"the loader on {self.path}{f' ({self.note})' if self.note else ''}: {self.text}"


def spared_variants(facts: WheelFacts, observation: Observation) -> frozenset[str]:
    """Names of modules of which the wheel has another variant that was imported here."""
    good = {one.name for one in observation.imports if one.status is ImportStatus.OK}
    return frozenset(name for name, group in variants(facts).items() if not good.isdisjoint(group))


def lacking(check: LoaderCheck, facts: WheelFacts) -> tuple[str, ...]:
    """The libraries that the loader did not find and does not do without.

    It lists a missing auxiliary filter as it lists others, and goes on without it (glibc,
    elf/dl-deps.c). Linkers that are given flags of a compiler make such: `ld -fwrapv` is `-f wrapv`.
    """
    needed = {name for elf in facts.elf for name in (*elf.needed, *elf.filters)}
    spared = {name for elf in facts.elf for name in elf.auxiliaries} - needed
    return tuple(library for library in check.missing if library not in spared)


def is_resolved(check: LoaderCheck, facts: WheelFacts) -> bool:
    """Whether the loader found everything that it needs; a refusal is never evidence for a wheel."""
    return not lacking(check, facts) and not check.problems


def loader_missing(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each library that the loader did not find, with the file that needs it."""
    for check in observation.loader:
        severity, note = _weight(check, facts, observation)
        for library in lacking(check, facts):
            yield LoaderProblem(path=check.path, text=library, severity=severity, note=note)


def loader_problems(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each sentence of the loader other than those on missing libraries."""
    for check in observation.loader:
        severity, note = _weight(check, facts, observation)
        for text in check.problems:
            yield LoaderProblem(path=check.path, text=text, severity=severity, note=note)


def _weight(check: LoaderCheck, facts: WheelFacts, observation: Observation) -> tuple[Severity, str]:
    path = check.path.replace("\\", "/")
    program = next((one for one in facts.programs if same_file(path, one)), "")
    if program:
        if is_command(program):
            return Severity.ERROR, ""
        return Severity.WARNING, "a wrapper may start it with a search path of its own"
    name = next((n for n, file in facts.extension_paths if same_file(path, file)), "")
    if name in spared_variants(facts, observation):
        return Severity.WARNING, "another variant of it was imported"
    if _import_failed(name, observation):
        return Severity.ERROR, ""
    return Severity.WARNING, "yet it was imported"


def _import_failed(module: str, observation: Observation) -> bool:
    """Whether the module's own import failed; if it was not tried, that of what holds it."""
    by_name = {outcome.name: outcome.status is ImportStatus.OK for outcome in observation.imports}
    name = module
    while name:
        if name in by_name:
            return not by_name[name]
        name = name.rpartition(".")[0]
    return False


def is_on_path(installed: str) -> bool:
    """Whether an installed file lies in the venv's folder of scripts."""
    return PurePosixPath(installed).parent.name == "bin" and "site-packages" not in installed


def same_file(installed: str, in_wheel: str) -> bool:
    """Whether an installed path is that of a file in the wheel, `.data` folders resolved."""
    place = environment_path(in_wheel).removeprefix(f"{SITE}/") or in_wheel
    return installed in {place, in_wheel} or installed.endswith(f"/{place}")
