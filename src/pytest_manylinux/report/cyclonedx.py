"""A CycloneDX document for wheels that carry none: what was grafted, by what its bytes tell.

Specification: CycloneDX 1.6 in JSON (ECMA-424). It is written by hand: cyclonedx-python-lib would bring
five packages for sixty lines of JSON, which a test holds against its copy of the schema. What is not
known is left out: a library whose bytes tell no version has none, and its package URL has only a name.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from pytest_manylinux import __version__
from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.inspect.known_libraries import known_by_file
from pytest_manylinux.inspect.sbom import original_name
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import WheelFacts

_SPEC = "1.6"
_SCHEMA = f"http://cyclonedx.org/schema/bom-{_SPEC}.schema.json"


def write_sbom(wheels: Iterable[WheelFacts], path: Path, *, written: float) -> tuple[str, ...]:
    """Write one document on the wheels that carry none; gives their file names.

    `written` is seconds since the epoch. Raises ReportError.
    """
    chosen = [facts for facts in wheels if not facts.sboms]
    text = json.dumps(sbom(chosen, written=written), indent=2, ensure_ascii=False)
    write_atomically(path, f"{text}\n".encode())
    return tuple(facts.wheel.filename for facts in chosen)


def sbom(wheels: Iterable[WheelFacts], *, written: float) -> dict[str, Any]:
    """The document. Of one wheel it is the document's own component, of several each is a part."""
    facts = list(wheels)
    subjects = [_wheel(one) for one in facts]
    grafted = [[_library(one, elf) for elf in _told(one)] for one in facts]
    metadata: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(written, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tools": {
            "components": [{"type": "application", "name": "pytest-manylinux", "version": __version__}]
        },
    }
    if len(facts) == 1:
        metadata["component"] = subjects[0]
    parts = [part for group in grafted for part in group]
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "serialNumber": f"urn:uuid:{_serial(facts)}",
        "version": 1,
        "metadata": metadata,
        "components": parts if len(facts) == 1 else [*subjects, *parts],
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": [part["bom-ref"] for part in group]}
            for subject, group in zip(subjects, grafted, strict=True)
        ],
    }


def _serial(facts: Iterable[WheelFacts]) -> uuid.UUID:
    """The same for the same wheels: the document depends on nothing else but the clock."""
    digests = " ".join(one.wheel.sha256 for one in facts)
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{_SCHEMA} {digests}")


def _wheel(facts: WheelFacts) -> dict[str, Any]:
    wheel = facts.wheel
    qualifiers = {"file_name": wheel.filename}
    purl = PackageURL("pypi", None, wheel.name, wheel.version, qualifiers).to_string()
    return {
        "type": "library",
        "bom-ref": purl,
        "name": wheel.name,
        "version": wheel.version,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "purl": purl,
    }


def _told(facts: WheelFacts) -> list[ElfFacts]:
    """The grafted libraries, and files that a known library was linked into."""
    grafted = {elf.path for elf in facts.grafted}
    return [elf for elf in facts.elf if elf.path in grafted or elf.library_versions]


def _library(facts: WheelFacts, elf: ElfFacts) -> dict[str, Any]:
    """The component of one file. What is linked into it statically is a component inside it."""
    original = original_name(elf.path)
    known = known_by_file(original)
    versions = dict(elf.library_versions)
    own = known.name if known is not None else ""
    if elf not in facts.grafted and not own:
        name, version = elf.path.rpartition("/")[2], ""
    else:
        name, version = own or original.partition(".so")[0], versions.pop(own, "")
    digest = next((file.sha256 for file in facts.contents if file.path == elf.path), "")
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{facts.wheel.filename}/{elf.path}",
        "name": name,
        **_identity(name, version, filename=elf.path.rpartition("/")[2]),
        "evidence": {"occurrences": [{"location": elf.path}]},
    }
    if digest:
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if versions:
        component["components"] = [
            {
                "type": "library",
                "bom-ref": f"{facts.wheel.filename}/{elf.path}#{inner}",
                "name": inner,
                **_identity(inner, number),
            }
            for inner, number in versions.items()
        ]
    return component


def _identity(name: str, version: str, *, filename: str = "") -> Mapping[str, str]:
    qualifiers = {"file_name": filename} if filename else None
    purl = PackageURL("generic", None, name, version or None, qualifiers).to_string()
    return {**({"version": version} if version else {}), "purl": purl}
