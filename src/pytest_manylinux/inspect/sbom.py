"""Bills of materials and licence files inside a wheel: what they say of its grafted libraries.

Formats: CycloneDX 1.2 to 1.7 and SPDX 2 in JSON, in `.dist-info/sboms` (PEP 770). Licence files are
those of `.dist-info/licenses` (PEP 639), and any file whose name begins as such files do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_manylinux.inspect.known_libraries import known_by_file
from pytest_manylinux.inspect.zip_archive import Archive
from pytest_manylinux.model.wheel import SbomComponent, SbomDocument, is_grafted

MAX_SBOM = 16 * 1024**2
"""Bytes of one document; one of a wheel with hundreds of Rust crates has less than 1 MiB."""

MAX_LICENSE = 4 * 1024**2
"""Bytes of one licence file; those with all texts of a large project stay below 1 MiB."""

MAX_COMPONENTS = 20_000
"""Components that are looked at in one document."""

_LICENSE = re.compile(r"(?:licen[cs]e|copying|notice|copyright|authors)", re.IGNORECASE)
_DIGEST = re.compile(r"-[0-9a-f]{8,}(?=\.|$)")
_TELLING = 3  # letters of a name that is not in any text by chance
_WORD = re.compile(r"lib(?P<name>.+?)\d*_?(?:\.so.*)?")


def read_sboms(archive: Archive, folder: str) -> tuple[SbomDocument, ...]:
    """The documents of the wheel's .dist-info `folder`, by their paths."""
    begin = f"{folder}/sboms/"
    names = sorted(name for name in archive.files if name.startswith(begin))
    return tuple(_document(archive, name) for name in names)


def _document(archive: Archive, path: str) -> SbomDocument:
    if archive.files[path].file_size > MAX_SBOM:
        return SbomDocument(path=path, problem="it is too large to be one")
    try:
        data = json.loads(archive.read(path, limit=MAX_SBOM))
    except (ValueError, RecursionError):
        return SbomDocument(path=path, problem="it is not JSON, and was not read")
    if isinstance(data, dict) and data.get("bomFormat") == "CycloneDX":
        return _cyclonedx(path, data)
    if isinstance(data, dict) and "spdxVersion" in data:
        return _spdx(path, data)
    return SbomDocument(path=path, problem="it is neither CycloneDX nor SPDX")


def _cyclonedx(path: str, data: Mapping[str, Any]) -> SbomDocument:
    metadata = _table(data.get("metadata"))
    subject = metadata.get("component")
    tools = metadata.get("tools")
    if isinstance(tools, dict):  # from 1.5 on
        tools = tools.get("components")
    words = (f"{_text(tool, 'name')} {_text(tool, 'version')}".strip() for tool in _tables(tools))
    found = [_component(row) for row in _nested(_tables(data.get("components")))]
    return SbomDocument(
        path=path,
        tool=", ".join(filter(None, words)),
        subject=_component(subject) if isinstance(subject, dict) else None,
        components=tuple(found[:MAX_COMPONENTS]),
    )


def _nested(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Components and those inside them, without recursion: a document may nest as it likes."""
    waiting = list(rows)[::-1]
    while waiting:
        row = waiting.pop()
        yield row
        waiting += list(_tables(row.get("components")))[::-1]


def _component(row: Mapping[str, Any]) -> SbomComponent:
    occurrences = _tables(_table(row.get("evidence")).get("occurrences"))
    return SbomComponent(
        name=_text(row, "name"),
        version=_text(row, "version"),
        purl=_text(row, "purl"),
        ref=_text(row, "bom-ref"),
        hashes=_hashes(row.get("hashes"), "alg", "content"),
        files=tuple(filter(None, (_text(one, "location") for one in occurrences))),
        licensed=bool(row.get("licenses")),
    )


def _spdx(path: str, data: Mapping[str, Any]) -> SbomDocument:
    creators = _table(data.get("creationInfo")).get("creators")
    words = [word for word in creators if isinstance(word, str)] if isinstance(creators, list) else []
    return SbomDocument(
        path=path,
        tool=", ".join(word.removeprefix("Tool: ") for word in words if word.startswith("Tool: ")),
        components=tuple(_package(row) for row in list(_tables(data.get("packages")))[:MAX_COMPONENTS]),
    )


def _package(row: Mapping[str, Any]) -> SbomComponent:
    references = _tables(row.get("externalRefs"))
    purls = (_text(one, "referenceLocator") for one in references if one.get("referenceType") == "purl")
    licence = _text(row, "licenseConcluded") or _text(row, "licenseDeclared")
    return SbomComponent(
        name=_text(row, "name"),
        version=_text(row, "versionInfo"),
        purl=next(purls, ""),
        ref=_text(row, "SPDXID"),
        hashes=_hashes(row.get("checksums"), "algorithm", "checksumValue"),
        files=tuple(filter(None, [_text(row, "packageFileName")])),
        licensed=licence not in {"", "NOASSERTION", "NONE"},
    )


def _hashes(rows: object, algorithm: str, digest: str) -> tuple[tuple[str, str], ...]:
    """(`SHA-256`, digest) of rows; SPDX spells it SHA256."""
    found = ((_text(row, algorithm).upper(), _text(row, digest).lower()) for row in _tables(rows))
    return tuple((re.sub(r"^SHA(?=\d)", "SHA-", name), value) for name, value in found)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> Iterable[Mapping[str, Any]]:
    return (row for row in value if isinstance(row, dict)) if isinstance(value, list) else ()


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def licensed_libraries(archive: Archive, folder: str) -> tuple[str, ...]:
    """The grafted libraries whose name is in a licence file's text or path, sorted."""
    grafted = sorted(name for name in archive.files if is_grafted(name))
    if not grafted:
        return ()
    texts = [text.lower() for text in _license_texts(archive, folder)]
    return tuple(
        path for path in grafted if any(word in text for text in texts for word in _words(path))
    )


def _license_texts(archive: Archive, folder: str) -> Iterator[str]:
    for name, entry in archive.files.items():
        licence = name.startswith(f"{folder}/licenses/") or is_license(name)
        if licence and entry.file_size <= MAX_LICENSE:
            text = archive.read(name, limit=MAX_LICENSE).decode("utf-8", "replace")
            yield f"{name}\n{text}"


def is_license(name: str) -> bool:
    """Whether a file is a licence by its name, wherever it lies."""
    file = name.rpartition("/")[2]
    return _LICENSE.match(file) is not None and ".py" not in file


def _words(path: str) -> tuple[str, ...]:
    """The names of a library that a licence file would use: `openssl`, or `foo` of libfoo.so.1."""
    original = original_name(path)
    known = known_by_file(original)
    if known is not None:
        return (known.name, known.name.removeprefix("lib").partition("-")[0])
    stem = original.partition(".so")[0]
    match = _WORD.fullmatch(stem)
    short = match["name"] if match else stem
    return ((short if len(short) >= _TELLING else stem).lower(),)


def original_name(path: str) -> str:
    """A grafted library's file name before the graft: without the digests that repair put in."""
    return _DIGEST.sub("", path.rpartition("/")[2])
