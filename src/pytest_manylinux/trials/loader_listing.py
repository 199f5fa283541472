"""The dynamic loader's words: found in what an import raised, and in its own listing of a file.

The sentences are glibc's, in English where LANG is C.UTF-8, as it is in every sandbox, and musl's. What
they amount to is judged elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
