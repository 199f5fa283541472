"""The dynamic loader's sentences, read.

The sentences are glibc's (elf/dl-load.c, dl-version.c, dl-lookup.c, dl-execstack.c, dl-reloc.c,
dl-tls.c and sysdeps/x86/dl-cet.c, dl-hwcaps checks); they are not translated where LANG is C.UTF-8,
as it is in every sandbox. Those of musl are from its ldso/dynlink.c.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cache


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
    (Refusal.LIBRARY, r"(?P<library>[^\s:]+): cannot open shared object file"),
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
