"""Rules on what is in the archives: a wheel's zip file, a source distribution's tar file.

Each function yields pairs of a rule's name and how it is broken. An archive is only read, never
unpacked to disk. That zip readers agree is decided by inspect/zip_layout.py; what PyPI asks beyond that
stands here.
"""

from __future__ import annotations

import configparser
import csv
import os
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_manylinux.artifacts import BROKEN
from pytest_manylinux.inspect.zip_layout import LayoutError, read_layout
from pytest_manylinux.upload_rules.index_rules import IndexRules

Found = Iterator[tuple[str, str]]

UNREADABLE = (*BROKEN, OSError)
"""What reading an archive can raise: it is damaged, made to hurt, or not there any more."""

MAX_TEXT = 16 * 1024**2
"""Bytes of a text file (METADATA, PKG-INFO, RECORD) that are read."""

_MIB = 1024**2
_PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PROGRAM = re.compile(r"[\w.-]+")
_DESCRIPTOR = 0x8  # sizes follow the data (APPNOTE 4.4.4, bit 3)
_SHOWN = 3


def file_size(path: Path, rules: IndexRules) -> Found:
    """The rule on the size of every file."""
    size = path.stat().st_size
    if size > rules.file_size:
        limit = rules.file_size / _MIB
        yield "file-size", f"{size / _MIB:.1f} MiB; {rules.name} takes {limit:g} MiB"


def dist_info(filename: str) -> str:
    """The folder that PyPI looks for: literally by the file's name; empty for no name of a wheel."""
    parts = filename.split("-", 2)
    return f"{parts[0]}-{parts[1]}.dist-info" if len(parts) > len("ab") else ""


class WheelArchive:
    """A wheel open for its rules. Raises UNREADABLE where it is not a zip file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.zip = zipfile.ZipFile(path)
        self.folder = dist_info(path.name)

    def text(self, name: str) -> bytes | None:
        """A file of dist-info; None if it is not there. Raises UNREADABLE for damaged or huge ones."""
        try:
            info = self.zip.getinfo(f"{self.folder}/{name}")
        except KeyError:
            return None
        if info.file_size > MAX_TEXT:
            raise ValueError(f"{name} has {info.file_size} bytes")
        return self.zip.read(info)

    def breaches(self, rules: IndexRules) -> Found:
        """All rules on the archive itself."""
        infos = self.zip.infolist()
        yield from _packing(self.path, infos, rules)
        yield from _framing(self.path, infos)
        yield from self._places()
        yield from self._record()
        yield from self._entry_points()

    def licenses(self, names: Sequence[str]) -> Found:
        """The rule on License-File fields."""
        held = set(self.zip.namelist())
        for name in names:
            place = f"{self.folder}/licenses/{name}"
            if place not in held:
                yield "license-file", f"License-File {name}: {place} is not in the archive"

    def _places(self) -> Found:
        for name in ("WHEEL", "METADATA"):
            if f"{self.folder}/{name}" not in self.zip.namelist():
                yield "dist-info", f"{self.folder}/{name} is not in the archive"

    def _record(self) -> Found:
        """RECORD is there; who lists what is only told (hashes are not looked at)."""
        data = self.text("RECORD")
        if data is None:
            yield "record", f"{self.folder}/RECORD is not in the archive"
            return
        try:
            rows = [row for row in csv.reader(data.decode("utf-8").splitlines()) if row]
        except (UnicodeDecodeError, csv.Error) as error:
            yield "record", f"RECORD cannot be read: {error}"
            return
        listed = {row[0].replace("\\", "/") for row in rows}
        signatures = {f"{self.folder}/RECORD.{kind}" for kind in ("jws", "p7s")}
        held = {name for name in self.zip.namelist() if not name.endswith(("/", "\\"))} - signatures
        for words, names in (("does not list", held - listed), ("lists", listed - held)):
            if names:
                where = "" if words == "does not list" else ", not in the archive"
                yield "record-differs", f"RECORD {words} {_some(names)}{where}"

    def _entry_points(self) -> Found:
        data = self.text("entry_points.txt")
        if data is None:
            return
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(data.decode("utf-8"))
        except (UnicodeDecodeError, configparser.Error) as error:
            yield "entry-points", f"entry_points.txt: {str(error).splitlines()[0]}"
            return
        for section in ("console_scripts", "gui_scripts"):
            for name in parser[section] if parser.has_section(section) else ():
                if _PROGRAM.fullmatch(name) is None:
                    yield "entry-points", f"{name!r} in {section} is not a name for a program"


def _some(names: set[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(shown)}{more}"


def _packing(path: Path, infos: Sequence[zipfile.ZipInfo], rules: IndexRules) -> Found:
    odd = sorted({info.filename for info in infos if info.compress_type not in _PLAIN})
    if odd:
        yield "packing-method", f"neither stored nor deflated: {_some(set(odd))}"
    limits = rules.table.limits
    unpacked, packed = sum(info.file_size for info in infos), max(path.stat().st_size, 1)
    if unpacked > limits.ratio_from and unpacked / packed > limits.ratio:
        times = f"{unpacked / packed:.0f} times"
        yield "packing-ratio", f"it unpacks to {unpacked / _MIB:.0f} MiB, {times} its size"


def _framing(path: Path, infos: Sequence[zipfile.ZipInfo]) -> Found:
    """That readers agree on the archive, and what PyPI asks beyond that."""
    with path.open("rb") as stream:
        try:
            read_layout(stream.fileno(), os.fstat(stream.fileno()).st_size)
        except LayoutError as error:
            yield "zip-framing", f"{error.what}: {error.why}"
        except (struct.error, OSError) as error:
            yield "zip-framing", f"its directory is damaged: {error}"
    if tarfile.is_tarfile(path):
        yield "archive-unreadable", "it is a tar file as well as a zip file"
    names = [info.orig_filename for info in infos]
    if len(names) != len(set(names)):
        twice = sorted({name for name in names if names.count(name) > 1})
        yield "zip-framing", f"there twice: {_some(set(twice))}"
    for info in infos:
        if info.flag_bits & _DESCRIPTOR:
            yield "zip-framing", f"{info.filename!a} has its sizes after the data (a data descriptor)"
        if info.comment:
            yield "zip-framing", f"{info.filename!a} has a comment"
        if _CONTROL.search(info.orig_filename):
            yield "zip-framing", f"the name {info.orig_filename!a} holds control characters"


class SdistArchive:
    """A source distribution read once. Raises UNREADABLE where it is not a gzipped tar file.

    `top` is its one top folder, empty if there is not one; `pkg_info` the bytes of PKG-INFO there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with tarfile.open(path, "r:gz") as tar:
            members = tar.getmembers()
            self.names = frozenset(member.name for member in members)
            self.sparse = sorted(member.name for member in members if member.issparse())
            self.top = _common(member.name for member in members)
            self.pkg_info = self._read(tar, f"{self.top}/PKG-INFO")

    def _read(self, tar: tarfile.TarFile, name: str) -> bytes | None:
        if name not in self.names:
            return None
        stream = tar.extractfile(name)
        return b"" if stream is None else stream.read(MAX_TEXT)

    def breaches(self) -> Found:
        """All rules on the archive itself."""
        if zipfile.is_zipfile(self.path):
            yield "archive-unreadable", "it is a zip file as well as a tar file"
        if not self.top:
            yield "top-folder", "its files have no folder in common"
        elif self.pkg_info is None:
            yield "pkg-info", f"{self.top}/PKG-INFO is not in the archive"
        if self.sparse:
            yield "sparse-member", f"sparse: {_some(set(self.sparse))}"

    def licenses(self, names: Sequence[str]) -> Found:
        """The rule on License-File fields."""
        for name in names:
            if f"{self.top}/{name}" not in self.names:
                yield "license-file", f"License-File {name}: {self.top}/{name} is not in the archive"


def _common(names: Iterator[str]) -> str:
    """The folder that all paths have in common; empty if there is none, or only the root or `.`."""
    try:
        found = os.path.commonpath(list(names))
    except ValueError:  # no names at all, or some absolute
        return ""
    return "" if found in {".", "/", ""} else found
