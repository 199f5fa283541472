"""The .dist-info folder of a wheel: METADATA, WHEEL, RECORD, entry points.

Rules: the binary distribution format, core metadata and entry points specifications, and PEP 376
for RECORD. What an installer would refuse, or what makes the bytes doubtful, raises
MalformedWheelError; what installers pass over is a sentence in `problems`.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import csv
import email.message
import email.parser
import hashlib
import io
import itertools
import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_manylinux.inspect.zip_archive import Archive, malformed
from pytest_manylinux.model.wheel import Wheel, environment_path

MAX_METADATA = 16 * 1024**2
"""Bytes of METADATA or WHEEL; long descriptions stay below 1 MiB."""

MAX_RECORD = 64 * 1024**2
"""Bytes of RECORD; some 120 for each of the files that an archive may hold, and room."""

MAX_TAGS = 10_000
"""Single tags in one compressed set; real ones hold some ten, and they multiply."""

MOST_DIGITS = 100
"""Digits of a number in a version; Python itself reads no more than 4,300, and pip ends there."""

ENDLESS = re.compile(rf"\d{{{MOST_DIGITS + 1}}}")

# The wheel specification wants sha256 or better, of those that hashlib guarantees; the lengths of
# SHAKE's digests are not stated in RECORD.
_WEAK = frozenset({"md5", "sha1", "sha224"})
_KNOWN = frozenset(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))
_SCHEMES = ("data", "headers", "platlib", "purelib", "scripts")
_BELOW_SCHEME = 2  # parts of a path after `.data`: the scheme's folder, and what is in it
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEntry:
    """A row of RECORD: hash algorithm and digest (empty if none is given), size or None."""

    algorithm: str = ""
    digest: bytes = b""
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DistInfo:
    """What the .dist-info folder says. `record` has every listed file, in RECORD's order."""

    folder: str
    name: str
    version: str
    requires_python: str
    requires_dist: tuple[str, ...]
    extras: tuple[str, ...]
    root_is_purelib: bool
    generator: str
    tags: tuple[str, ...]
    scripts: tuple[str, ...]
    entry_points: tuple[tuple[str, str], ...]
    record: Mapping[str, RecordEntry]
    problems: tuple[str, ...]


def read_distinfo(archive: Archive, wheel: Wheel) -> DistInfo:
    """Read and check the folder against the file's name; raises MalformedWheelError."""
    problems: list[str] = []
    folder = _folder(archive)
    _check_places(archive)
    metadata = _metadata(archive, folder, problems)
    _check_name(wheel, folder, *metadata[:2])
    purelib, generator, tags = _wheel_file(archive, folder, wheel, problems)
    entry_points = _entry_points(archive, folder, problems)
    if wheel.variant:
        problems += _variant_problems(archive, folder, wheel.variant)
    return DistInfo(
        folder=folder,
        name=metadata[0],
        version=metadata[1],
        requires_python=metadata[2],
        requires_dist=metadata[3],
        extras=metadata[4],
        root_is_purelib=purelib,
        generator=generator,
        tags=tags,
        scripts=tuple(sorted({*_script_files(archive), *(name for name, _ in entry_points)})),
        entry_points=entry_points,
        record=_record(archive, folder, problems),
        problems=tuple(problems),
    )


def _folder(archive: Archive) -> str:
    tops = {name.split("/", 1)[0] for name in archive.files if "/" in name}
    folders = sorted(top for top in tops if top.endswith(".dist-info"))
    if not folders:
        raise malformed(archive.path, "a zip archive but no wheel", "it has no .dist-info folder")
    if len(folders) > 1:
        raise malformed(archive.path, "more than one .dist-info folder", ", ".join(folders))
    for needed in ("METADATA", "WHEEL"):
        if f"{folders[0]}/{needed}" not in archive.files:
            raise malformed(
                archive.path, "a zip archive but no wheel", f"{folders[0]}/{needed} is missing"
            )
    return folders[0]


def _check_places(archive: Archive) -> None:
    """No two files may be installed in one place: which of them stays depends on the installer."""
    places: dict[str, str] = {}
    for name in archive.files:
        _check_scheme(archive, name)
        place = environment_path(name)
        if place and places.setdefault(place, name) != name:
            why = (
                f"both {places[place]} and {name} go to {place}; which of them stays is anyone's guess"
            )
            raise malformed(archive.path, "two files for one place", why)


def _check_scheme(archive: Archive, name: str) -> None:
    """A file of `.data` lies below a folder that is called like an installation scheme."""
    top, *rest = name.split("/", 2)
    if top.endswith(".data") and (len(rest) < _BELOW_SCHEME or rest[0] not in _SCHEMES):
        why = (
            f"{name}: only files below {', '.join(_SCHEMES)} have a place there; pip refuses all others"
        )
        raise malformed(archive.path, "a file in .data that has no place", why)


def _metadata(
    archive: Archive, folder: str, problems: list[str]
) -> tuple[str, str, str, tuple[str, ...], tuple[str, ...]]:
    """Name, version, requires-python, requirements and extras of METADATA."""
    place = f"{folder}/METADATA"
    message = _headers(archive, place)
    name, version = _needed(archive, message, "Name"), _needed(archive, message, "Version")
    if str(message["Name"]) != name:
        problems.append(f"METADATA: blanks after Name: {name}; newer pips take them for a part of it")
    requires_python = _once(message, "Requires-Python")
    requires = tuple(str(line).strip() for line in message.get_all("Requires-Dist", []))
    if any(map(ENDLESS.search, (version, requires_python, *requires))):
        why = f"it has a number of more than {MOST_DIGITS} digits"
        raise malformed(archive.path, "METADATA cannot be read", why)
    try:
        SpecifierSet(requires_python)
    except InvalidSpecifier:
        problems.append(f"METADATA: Requires-Python {requires_python!r} is no version specifier")
    for line in requires:
        try:
            Requirement(line)
        except InvalidRequirement:
            problems.append(f"METADATA: Requires-Dist {line!r} is no requirement")
    try:
        Version(version)
    except InvalidVersion:
        problems.append(f"METADATA: Version {version!r} is not one of PEP 440; indexes refuse it")
    extras = (str(line).strip() for line in message.get_all("Provides-Extra", []))
    return name, version, requires_python, requires, tuple(dict.fromkeys(extras))


def _headers(archive: Archive, place: str) -> email.message.Message:
    """The headers of METADATA or WHEEL.

    packaging.metadata reads them with the same parser, and takes longer to import than this to read.
    """
    try:
        text = archive.read(place, limit=MAX_METADATA).decode("utf-8")
    except UnicodeDecodeError as error:  # core metadata is UTF-8; pip decodes WHEEL so too
        what = f"{posixpath.basename(place)} cannot be read"
        raise malformed(archive.path, what, f"it is not UTF-8: {error}") from error
    return email.parser.HeaderParser().parsestr(text)


def _needed(archive: Archive, message: email.message.Message, key: str) -> str:
    """The header's value; raises MalformedWheelError unless METADATA has exactly one."""
    count = len(message.get_all(key, []))
    if count > 1:
        why = f"{count} lines {key}:, of which one is allowed; readers take the first, or refuse"
        raise malformed(archive.path, f"METADATA has more than one {key}", why)
    value = _once(message, key)
    if not value:
        raise malformed(archive.path, f"METADATA has no {key}", _why_not(message, key))
    return value


def _why_not(message: email.message.Message, key: str) -> str:
    """Why a header of METADATA or WHEEL is not read, though a line of it may have it."""
    text = str(message.get_payload())
    if text.startswith("\ufeff"):
        return "it begins with a byte order mark, so that no line of it is read as a header"
    if re.search(rf"^{key}:", text, re.MULTILINE | re.IGNORECASE):
        return "its line stands below one that is no header, where the headers end"
    return f"no header of it is {key}, or that has no value"


def _once(message: email.message.Message, key: str) -> str:
    """The header's value; empty if there is none, or more than one."""
    values = message.get_all(key, [])
    return str(values[0]).strip() if len(values) == 1 else ""


def _check_name(wheel: Wheel, folder: str, name: str, version: str) -> None:
    """File name, folder and METADATA must mean the same project and version."""
    if canonicalize_name(name) != wheel.name:
        why = f"METADATA says Name: {name}, the file's name says {wheel.name}"
        raise malformed(wheel.path, "name and metadata disagree", why)
    if not _same_version(version, wheel.version):
        why = f"METADATA says Version: {version}, the file's name says {wheel.version}"
        raise malformed(wheel.path, "name and metadata disagree", why)
    project, _, release = folder.removesuffix(".dist-info").partition("-")
    if canonicalize_name(project) != wheel.name or not _same_version(release, wheel.version):
        why = f"the folder is called {folder}, the file's name says {wheel.name} {wheel.version}"
        raise malformed(wheel.path, "name and .dist-info folder disagree", why)


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one.replace("_", "+")) == Version(other)
    except InvalidVersion:
        return one == other


def _wheel_file(
    archive: Archive, folder: str, wheel: Wheel, problems: list[str]
) -> tuple[bool, str, tuple[str, ...]]:
    """Root-Is-Purelib, Generator and the expanded tags of the WHEEL file."""
    message = _headers(archive, f"{folder}/WHEEL")
    version = str(message.get("Wheel-Version", "")).strip()
    if not version:
        raise malformed(archive.path, "WHEEL has no Wheel-Version", _why_not(message, "Wheel-Version"))
    if (major := _major(version)) is None or major > 1:
        why = f"WHEEL says Wheel-Version: {version[:40]!r}; installers know version 1 of the format"
        raise malformed(archive.path, "a Wheel-Version that installers do not know", why)
    if major < 1:
        problems.append(f"WHEEL: Wheel-Version {version} was before the first, 1.0; pip takes it")
    purelib = str(message.get("Root-Is-Purelib", "")).strip().lower() == "true"
    tags = tuple(sorted({str(tag).strip() for tag in message.get_all("Tag", [])}))
    stated = {single for tag in tags for single in _expanded(tag)}
    if stated != {str(tag) for tag in wheel.tags}:
        problems.append("WHEEL: its tags are not those of the file's name")
    return purelib, str(message.get("Generator", "")).strip(), tags


def _major(version: str) -> int | None:
    """The first number of a Wheel-Version; None if pip does not read it, for which all are numbers."""
    try:
        numbers = [int(part) for part in version.split(".")]
    except ValueError:
        return None
    return numbers[0]


def _variant_problems(archive: Archive, folder: str, label: str) -> Iterator[str]:
    """Whether `variant.json` states the label of a variant's name, and no other (PEP 825)."""
    place = f"{folder}/variant.json"
    if place not in archive.files:
        yield f"variant.json is missing, which a wheel variant (PEP 825), here {label}, has to have"
        return
    try:
        document = json.loads(archive.read(place, limit=MAX_METADATA))
    except (ValueError, RecursionError) as error:
        yield f"variant.json: no JSON: {error}"
        return
    stated = document.get("variants") if isinstance(document, dict) else None
    if not isinstance(stated, dict) or list(stated) != [label]:
        yield f"variant.json: its variants are not the label {label} of the file's name alone (PEP 825)"


def _expanded(tag: str) -> list[str]:
    """A compressed tag set (`py2.py3-none-any`) as single tags (PEP 425); itself if it is none."""
    sets = [part.split(".") for part in tag.split("-")]
    if math.prod(len(part) for part in sets) > MAX_TAGS:
        return [tag]
    return ["-".join(parts) for parts in itertools.product(*sets)]


def _script_files(archive: Archive) -> set[str]:
    """The names of files that an installation puts on PATH."""
    return {
        name.rsplit("/", 1)[1]
        for name in archive.files
        if ".data/scripts/" in name and name.split("/", 2)[1] == "scripts"
    }


def _entry_points(archive: Archive, folder: str, problems: list[str]) -> tuple[tuple[str, str], ...]:
    """The programs that an installation makes of entry points, with the object that each calls."""
    found: dict[str, str] = {}
    place = f"{folder}/entry_points.txt"
    if place in archive.files:
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            text = archive.read(place, limit=MAX_METADATA).decode("utf-8")
            _check_lines(archive, text, problems)
            parser.read_string(text)
        except UnicodeDecodeError as error:
            why = f"it is not UTF-8: {error}"
            raise malformed(archive.path, "entry_points.txt cannot be read", why) from error
        except configparser.Error as error:
            problems.append(f"entry_points.txt cannot be read: {str(error).splitlines()[0]}")
            return ()
        for section in ("console_scripts", "gui_scripts"):
            if parser.has_section(section):
                found.update(parser.items(section))
    return tuple(sorted(found.items()))


def _check_lines(archive: Archive, text: str, problems: list[str]) -> None:
    """Each line is in a section and has a `=` of its own, as pip's readers want it.

    Of them importlib.metadata passes over lines before the first section, and pkg_resources refuses
    those; both end in an error over a line without `=`, and know comments with `#` alone.
    """
    inside = False
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("[") and line.endswith("]"):
            inside = True
        elif line.startswith(";") and not inside:
            problems.append(f"entry_points.txt: {line[:80]!r} is no comment for all pips; # begins one")
        elif not inside:
            why = f"{line[:80]!r} is in no section; pip makes no program of it, or refuses the wheel"
            raise malformed(archive.path, "entry_points.txt cannot be read", why)
        elif "=" not in line and not line.startswith("#"):
            why = f"{line[:80]!r} is not a line NAME = MODULE:OBJECT; pip does not install the wheel"
            raise malformed(archive.path, "entry_points.txt cannot be read", why)


def _record(archive: Archive, folder: str, problems: list[str]) -> dict[str, RecordEntry]:
    """RECORD's rows by normal path; digests come later.

    Installers go by the archive alone and pass over what is wrong in RECORD: it is a problem.
    """
    place = f"{folder}/RECORD"
    if place not in archive.files:
        raise malformed(archive.path, "RECORD is missing", f"no {place} in the archive")
    rows = _rows(archive.path, archive.read(place, limit=MAX_RECORD), problems)
    unlisted = [name for name in archive.files if name not in rows]
    signatures = {f"{folder}/{name}" for name in _UNHASHED}
    unlisted = [name for name in unlisted if name not in signatures]
    if unlisted:
        problems.append(f"RECORD is wrong: {_some(unlisted)} not listed in it")
    absent = [name for name in rows if name not in archive.files and name not in signatures]
    if absent:
        problems.append(f"RECORD is wrong: it lists {_some(absent)}, not in the archive")
    unhashed = [name for name, row in rows.items() if not row.digest and name not in signatures]
    if unhashed:
        problems.append(f"RECORD: no digest for {_some(unhashed)}")
    weak = sorted({row.algorithm for row in rows.values() if row.algorithm in _WEAK})
    if weak:
        problems.append(f"RECORD: {', '.join(weak)} is too weak; sha256 or better is asked for")
    return rows


def _some(names: list[str]) -> str:
    shown, hidden = names[:3], len(names[3:])
    return f"{', '.join(shown)} and {hidden} more" if hidden else ", ".join(shown)


def _rows(path: Path, data: bytes, problems: list[str]) -> dict[str, RecordEntry]:
    rows: dict[str, RecordEntry] = {}
    try:
        for row in csv.reader(io.StringIO(data.decode("utf-8"), newline="")):
            if row and row[0]:
                rows[posixpath.normpath(row[0])] = _row(row, problems)
    except (UnicodeDecodeError, csv.Error) as error:
        raise malformed(path, "RECORD cannot be read", str(error)) from error
    return rows


def _size(text: str) -> int | None:
    """A file's size; None for what is no number, or none of any file."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def _row(row: list[str], problems: list[str]) -> RecordEntry:
    _, stated, size = (*row, "", "")[:3]
    algorithm, _, encoded = stated.partition("=")
    if not encoded:
        return RecordEntry(size=_size(size))
    entry = RecordEntry(size=_size(size))
    if algorithm not in _KNOWN:
        problems.append(f"RECORD is wrong: {row[0]}: unknown hash {algorithm!r}")
        return entry
    try:
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        problems.append(f"RECORD is wrong: {row[0]}: its digest is no base64")
        return entry
    return replace(entry, algorithm=algorithm, digest=digest)
