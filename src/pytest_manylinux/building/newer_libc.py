"""Causes in a build's output that a newer C library than the policy's would remove.

Compilers name what their headers hide, linkers what the policy's glibc lacks, and so do libraries that
were built on a newer system; a project's own checks name a version. Where nothing else is known, what
Meson, CMake and Autoconf did not find counts, if a newer glibc has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pytest_manylinux.building.api import KnownFailure, Toolchain
from pytest_manylinux.building.glibc_symbols import Version
from pytest_manylinux.model.policy import Libc, LibcKind

WHAT = "it needs a newer C library than this policy promises"

# Groups: `symbol`, whose first version the toolchain's table tells; `glibc`, that version itself;
# `above`, the minor version that is too old.
LIBC_FAILURES = (
    KnownFailure(
        # clang's words, then GNU's
        pattern=re.compile(
            r"(?:undeclared (?:function|identifier) '|undefined symbol: |no member named '"
            r"|undefined reference to [`']"
            r"|error: '(?=\w+' (?:undeclared|was not declared|is not a member)))"
            r"(?P<symbol>\w+)"
        ),
        what=WHAT,
    ),
    KnownFailure(  # a library that is linked, of a newer system
        pattern=re.compile(
            r"undefined reference(?: to|:) [`']?(?P<symbol>\w+)@+GLIBC_(?P<glibc>\d+(?:\.\d+)+)"
        ),
        what="a library that it links needs a newer glibc than this policy promises",
    ),
    KnownFailure(
        pattern=re.compile(
            r"(?:error:|Error:|ERROR:|#error|[Aa]ssert)[^\n]*?\bglibc\b[^\d\n]{0,20}(?P<glibc>2\.\d+)",
            re.IGNORECASE,
        ),
        what="its own check asks for a newer glibc than this policy promises",
    ),
    KnownFailure(
        pattern=re.compile(
            r"\berror: static assertion failed[^\n]*\n[^\n]*__GLIBC_MINOR__ >= (?P<minor>\d+)"
        ),
        what="its own check asks for a newer glibc than this policy promises",
    ),
    KnownFailure(
        pattern=re.compile(
            r"\berror: static assertion failed[^\n]*\n[^\n]*__GLIBC_MINOR__ > (?P<above>\d+)"
        ),
        what="its own check asks for a newer glibc than this policy promises",
    ),
    KnownFailure(
        pattern=re.compile(r"\berror: [^\n]*\n[^\n]*__GLIBC_PREREQ ?\( ?2, ?(?P<minor>\d+) ?\)"),
        what="its own check asks for a newer glibc than this policy promises",
    ),
)
_NOT_FOUND = re.compile(
    r"Checking for (?:function|type|header) \"(?P<meson>\w+)\"[^\n]*: NO\b"
    r"|Looking for (?P<cmake>\w+) - not found"
    r"|checking for (?P<autoconf>\w+)\.\.\. no\b"
)
_ANY_ERROR = re.compile(r"\b(?:error|Error|ERROR)\b[^\n]*")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerLibc:
    """What only a newer C library than the policy's has: `feature` names it, `what` says so."""

    what: str
    feature: str
    libc: LibcKind
    since: Version

    @property
    def because(self) -> str:
        """One line: `getrandom wants glibc 2.25`."""
        return f"{self.feature} wants {Libc(self.libc, self.since)}"


def newer_libc(chain: Toolchain, errors: str, output: str) -> NewerLibc | None:
    """What asks most for a newer glibc in the output of a failed build; None if nothing does.

    `errors` are the lines that compilers, linkers and back ends called errors, with a few that follow.
    """
    asked = [cause for known in chain.known_failures for cause in _asked(chain, known, errors, output)]
    asked = [cause for cause in asked if cause.since > chain.policy.version]
    if not asked:
        asked = list(_not_found(chain, output))
    return max(asked, key=lambda cause: cause.since, default=None)


def _asked(chain: Toolchain, known: KnownFailure, errors: str, output: str) -> Iterator[NewerLibc]:
    if known.remedy:
        return
    cause = partial(NewerLibc, what=known.what, libc=chain.policy.kind)
    if known.feature:
        if known.pattern.search(errors) or known.pattern.search(output):
            yield cause(feature=known.feature, since=known.since)
        return
    offered = chain.offered()
    for match in known.pattern.finditer(errors):
        found = match.groupdict()
        symbol, since = found.get("symbol") or "", _stated(found)
        if since and chain.policy.kind is LibcKind.GLIBC:
            yield cause(feature=symbol or "its own check", since=since)
        elif not since and symbol in offered:
            yield cause(feature=symbol, since=min(offered[symbol]))


def _stated(found: dict[str, str | None]) -> Version:
    """The version in a match; empty if it names none."""
    if number := found.get("glibc"):
        return tuple(int(part) for part in number.split("."))
    if number := found.get("minor"):
        return (2, int(number))
    if number := found.get("above"):
        return (2, int(number) + 1)
    return ()


def _not_found(chain: Toolchain, output: str) -> Iterator[NewerLibc]:
    """The function that the build ended for, if it was looked for in vain and a newer glibc has it.

    Looking in vain is nothing unusual. So it is the one that an error names, else the last one.
    """
    offered, policy = chain.offered(), chain.policy.version
    missed = [name for match in _NOT_FOUND.finditer(output) for name in match.groups() if name]
    newer = [name for name in missed if name in offered and min(offered[name]) > policy]
    named = set(_WORD.findall("\n".join(_ANY_ERROR.findall(output))))
    for name in [name for name in newer if name in named] or newer[-1:]:
        yield NewerLibc(
            what=f"it does not find {name}, which this policy's glibc does not have",
            feature=name,
            libc=chain.policy.kind,
            since=min(offered[name]),
        )
