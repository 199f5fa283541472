"""Which symbols each glibc offers, from the table that the zig compiler ships (`abilists`).

The table is made from glibc's own .abilist files of every release. Its format is documented in the
README of ziglang/libc-abi-tools; numbers are little-endian.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.errors import StoreError

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
