"""Every undefined dynamic symbol of a wheel's files against the glibc that the policy promises.

auditwheel looks at symbol versions. A symbol that the linker found nowhere carries none: it goes
past auditwheel, works wherever glibc is new enough, and nowhere else. Here it counts. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_manylinux.building.glibc import Version
from pytest_manylinux.model.wheel import ElfFacts, ElfKind, SymbolWant, WheelFacts

_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)*)")
_RELR = {"GLIBC_ABI_DT_RELR": (2, 36)}
_GLIBC_LIBRARIES = re.compile(
    r"(?:lib(?:c|m|pthread|dl|rt|util|resolv|crypt|nsl|anl|BrokenLocale|thread_db)\.so\.\d+|ld-linux.*|ld64\.so\.\d)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooNew:
    """A symbol that the policy's glibc does not offer. `since` is the first version that does."""

    file: str
    symbol: str
    since: Version
    versioned: bool

    def __str__(self) -> str:
        """One line of evidence."""
        since = ".".join(map(str, self.since))
        how = f"{self.symbol}@GLIBC_{since}" if self.versioned else f"{self.symbol} (without a version)"
        return f"{self.file} wants {how}, which glibc offers since {since}"


def too_new_symbols(
    facts: WheelFacts,
    glibc: tuple[int, int],
    offered: Mapping[str, frozenset[Version]],
    python: Collection[str],
) -> tuple[TooNew, ...]:
    """The symbols that rule the policy out, worst first.

    `offered` are glibc's symbols with the versions that offer them, `python` what the interpreter
    exports. A weak symbol may stay undefined. A symbol that nobody known offers is no matter of
    glibc's version: the trial's loader judges that.
    """
    found = (
        problem
        for file in facts.elf
        if file.kind in {ElfKind.SHARED, ElfKind.PROGRAM}
        for problem in _of_file(file, facts.elf, glibc, offered, python)
    )
    return tuple(sorted(found, key=lambda item: (item.since, item.file, item.symbol), reverse=True))


def _of_file(
    file: ElfFacts,
    files: Iterable[ElfFacts],
    glibc: tuple[int, int],
    offered: Mapping[str, frozenset[Version]],
    python: Collection[str],
) -> Iterator[TooNew]:
    reached = list(_reached(file, files))
    beside = {name.partition("@")[0] for other in reached for name in other.exports}
    for want in file.wants:
        if since := _stated(want):
            if since > glibc:
                yield TooNew(file=file.path, symbol=want.name, since=since, versioned=True)
            continue
        if want.version or want.weak or want.name in beside:
            continue
        if want.name in python and file.kind is not ElfKind.PROGRAM:
            continue
        since = min(offered.get(want.name, ()), default=())
        if since > glibc and not _needs_others(reached):
            yield TooNew(file=file.path, symbol=want.name, since=since, versioned=False)
    for _, versions in file.version_needs:
        for version in versions:
            if (since := _RELR.get(version, ())) > glibc:
                yield TooNew(file=file.path, symbol=version, since=since, versioned=False)


def _stated(want: SymbolWant) -> Version:
    match = _GLIBC.fullmatch(want.version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _reached(file: ElfFacts, files: Iterable[ElfFacts]) -> Iterator[ElfFacts]:
    """The file and those of the wheel that it needs, directly or not."""
    by_name = {name: other for other in files for name in (other.soname, other.path.rsplit("/", 1)[-1])}
    seen = {file.path: file}
    queue = [file]
    while queue:
        here = queue.pop()
        yield here
        for name in here.needed:
            if (other := by_name.get(name)) and other.path not in seen:
                seen[other.path] = other
                queue.append(other)


def _needs_others(reached: Iterable[ElfFacts]) -> bool:
    """Whether a library that is neither glibc's nor in the wheel might offer a symbol."""
    files = list(reached)
    inside = {name for file in files for name in (file.soname, file.path.rsplit("/", 1)[-1])}
    needed = {name for file in files for name in file.needed}
    return any(not _GLIBC_LIBRARIES.fullmatch(name) for name in needed - inside)
