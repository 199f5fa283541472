"""Which glibc offers a symbol, and which symbols of a wheel its policy's C library does not offer.

The table comes with the zig compiler (`abilists`), which makes it from glibc's own .abilist files of
every release. Its format is documented in the README of ziglang/libc-abi-tools; numbers are
little-endian.

auditwheel looks at symbol versions. A symbol that the linker found nowhere carries none: it goes
past auditwheel, works wherever glibc is new enough, and nowhere else. Here it counts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.errors import StoreError
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind, SymbolWant
from pytest_manylinux.model.policy import Libc, LibcKind, Policy
from pytest_manylinux.model.wheel import WheelFacts

Version = tuple[int, ...]
_LAST = 0x80  # set in the last element of a list


@dataclass(slots=True)
class _Reader:
    data: bytes
    at: int = 0

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def short(self) -> int:
        return self.byte() | self.byte() << 8

    def text(self) -> str:
        end = self.data.index(0, self.at)
        value = self.data[self.at : end].decode("ascii")
        self.at = end + 1
        return value

    def uleb128(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & _LAST:
                return value

    def last_terminated(self) -> list[int]:
        values = []
        while True:
            byte = self.byte()
            values.append(byte & 0x7F)
            if byte & _LAST:
                return values


def parse_symbols(data: bytes, target: str) -> dict[str, frozenset[Version]]:
    """Symbol -> the GLIBC versions under which libc and its sister libraries offer it on `target`.

    `target` is zig's triple, such as `x86_64-linux-gnu`. Raises ValueError for a table that breaks
    the format or lacks the target.
    """
    reader = _Reader(data)
    try:
        _libraries = [reader.text() for _ in range(reader.byte())]
        versions = [_trimmed(reader) for _ in range(reader.byte())]
        targets = [reader.text() for _ in range(reader.byte())]
        bit = 1 << targets.index(target)
        found: dict[str, set[Version]] = {}
        for sized in (False, True):  # functions, then objects
            _inclusions(reader, bit, versions, found, sized=sized)
    except IndexError as error:
        raise ValueError("the table ends early") from error
    return {name: frozenset(offered) for name, offered in found.items()}


def _trimmed(reader: _Reader) -> Version:
    """2.17.0 is GLIBC_2.17; only the oldest versions have a third part."""
    major, minor, patch = reader.byte(), reader.byte(), reader.byte()
    return (major, minor, patch) if patch else (major, minor)


def _inclusions(
    reader: _Reader, bit: int, versions: list[Version], found: dict[str, set[Version]], *, sized: bool
) -> None:
    """One after the other; a name stands only before the first of its inclusions."""
    name = ""
    for _ in range(reader.short()):
        name = name or reader.text()
        targets = reader.uleb128()
        if sized:
            reader.uleb128()
        last = bool(reader.byte() & _LAST)
        offered = {versions[index] for index in reader.last_terminated()}
        if targets & bit:
            found.setdefault(name, set()).update(offered)
        name = "" if last else name


@functools.lru_cache(maxsize=8)
def load_symbols(table: Path, target: str) -> Mapping[str, frozenset[Version]]:
    """Read the table of an installed zig; raises StoreError if it is damaged."""
    try:
        return parse_symbols(table.read_bytes(), target)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"zig's list of glibc's symbols cannot be read: {table}",
            why=str(error),
            remedy="remove that folder from the cache (`pytest-manylinux cache`) and run again",
        ) from error


_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)*)")
_RELR = {"GLIBC_ABI_DT_RELR": (2, 36)}
_OF_GLIBC = re.compile(
    r"(?:lib(?:c|m|pthread|dl|rt|util|resolv|crypt|nsl|anl|BrokenLocale|thread_db)\.so\.\d+|ld-linux.*|ld64\.so\.\d)"
)
_ALIGNED_NEW = re.compile(r"_Z(?:n[wa][jm]|d[la]Pv[jm]?)St11align_val_t(?:RKSt9nothrow_t)?")
_OF_CXX = re.compile(r"lib(?:std)?c\+\+\.so(?:\.\d+)*")
_OF_MUSL = re.compile(r"libc\.so|(?:libc\.|ld-)musl-\w+\.so\.1")


def is_of_glibc(library: str) -> bool:
    """Whether glibc brings the library of that name."""
    return _OF_GLIBC.fullmatch(library) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TooNew:
    """A symbol that the policy's C library does not offer. `since` is the first version that does.

    `aligned_new` tells that it is C++17's, for which the compiler's C++ library wants that version.
    """

    file: str
    symbol: str
    since: Version
    versioned: bool
    libc: LibcKind = LibcKind.GLIBC
    aligned_new: bool = False

    @property
    def because(self) -> str:
        """Without the file: `getrandom wants glibc 2.25`."""
        name = "std::align_val_t" if self.aligned_new else self.symbol
        return f"{name} wants {Libc(self.libc, self.since)}"

    def __str__(self) -> str:
        """One line of evidence."""
        since = ".".join(map(str, self.since))
        if self.aligned_new:
            return (
                f"{self.file} wants {self.symbol} (aligned new, C++17), which the compiler's C++ "
                f"library offers from {self.libc.value} {since} on"
            )
        how = f"{self.symbol}@GLIBC_{since}" if self.versioned else f"{self.symbol} (without a version)"
        if self.libc is LibcKind.MUSL:
            how = self.symbol
        return f"{self.file} wants {how}, which {self.libc.value} offers since {since}"


def too_new_symbols(
    facts: WheelFacts,
    policy: Policy,
    offered: Mapping[str, frozenset[Version]],
    python: Collection[str],
    aligned_new: Version = (),
) -> tuple[TooNew, ...]:
    """The symbols that rule the policy out, worst first.

    `offered` are its C library's symbols with the versions that offer them, `python` what the
    interpreter exports. `aligned_new` is the version from which the compiler's own C++ library offers
    aligned new; empty where it always does. A weak symbol may stay undefined. A symbol that nobody
    known offers is no matter of a version: the trial's loader judges that.
    """
    found = (
        problem
        for file in facts.elf
        if file.kind in {ElfKind.SHARED, ElfKind.PROGRAM}
        for problem in (
            *_of_file(file, facts.elf, policy, offered, python),
            *_aligned_new(file, facts.elf, policy, aligned_new),
        )
    )
    return tuple(sorted(found, key=lambda item: (item.since, item.file, item.symbol), reverse=True))


def _of_file(
    file: ElfFacts,
    files: Iterable[ElfFacts],
    policy: Policy,
    offered: Mapping[str, frozenset[Version]],
    python: Collection[str],
) -> Iterator[TooNew]:
    reached = list(_reached(file, files))
    beside = {name.partition("@")[0] for other in reached for name in other.exports}
    oldest = policy.version
    for want in file.wants:
        if since := _stated(want):
            if since > oldest:
                yield TooNew(file=file.path, symbol=want.name, since=since, versioned=True)
            continue
        if want.version or want.weak or want.name in beside:
            continue
        if want.name in python and file.kind is not ElfKind.PROGRAM:
            continue
        since = min(offered.get(want.name, ()), default=())
        if since > oldest and not _needs_others(reached):
            yield TooNew(
                file=file.path, symbol=want.name, since=since, versioned=False, libc=policy.kind
            )
    for _, versions in file.version_needs:
        for version in versions:
            if (since := _RELR.get(version, ())) > oldest:
                yield TooNew(file=file.path, symbol=version, since=since, versioned=False)


def _aligned_new(
    file: ElfFacts, files: Iterable[ElfFacts], policy: Policy, since: Version
) -> Iterator[TooNew]:
    """Aligned new and delete, left undefined: no C++ library that the file needs has them."""
    if since <= policy.version:
        return
    reached = list(_reached(file, files))
    needed = {name for other in reached for name in other.needed}
    if any(_OF_CXX.fullmatch(name) for name in needed):
        return
    beside = {name.partition("@")[0] for other in reached for name in other.exports}
    for want in file.wants:
        if _ALIGNED_NEW.fullmatch(want.name) and not want.weak and want.name not in beside:
            yield TooNew(
                file=file.path, symbol=want.name, since=since, versioned=False, aligned_new=True
            )


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
    """Whether a library that is neither of a C library nor in the wheel might offer a symbol."""
    files = list(reached)
    inside = {name for file in files for name in (file.soname, file.path.rsplit("/", 1)[-1])}
    needed = {name for file in files for name in file.needed}
    return any(not is_of_glibc(name) and not _OF_MUSL.fullmatch(name) for name in needed - inside)
