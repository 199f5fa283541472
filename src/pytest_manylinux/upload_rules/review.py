"""One file held against the rules of an index: what it would be refused for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.upload_rules import file_names
from pytest_manylinux.upload_rules.archive_rules import (
    UNREADABLE,
    SdistArchive,
    WheelArchive,
    file_size,
)
from pytest_manylinux.upload_rules.core_metadata import MetadataReview, review_metadata
from pytest_manylinux.upload_rules.index_rules import Breach, IndexRules

Found = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What an index would say of one file.

    `breaches` are in the order of their codes. `unknown` are what could not be looked at here, a
    sentence each. `metadata` is None where none could be read.
    """

    breaches: tuple[Breach, ...] = ()
    unknown: tuple[str, ...] = ()
    metadata: MetadataReview | None = None

    @property
    def refused(self) -> bool:
        """Whether the index refuses the file, as far as that can be known here."""
        return any(breach.rule.refuses for breach in self.breaches)


def review(path: Path, rules: IndexRules) -> Review:
    """Hold a file against the rules; files of other kinds break the rule on kinds.

    Raises OSError where the file cannot be read.
    """
    if not rules.rules:
        return Review()
    found = [*file_names.any_name(path.name), *file_size(path, rules)]
    metadata: MetadataReview | None = None
    try:
        if path.name.endswith(".whl"):
            found += file_names.wheel_name(path.name, rules)
            metadata = _wheel(path, rules, found)
        elif path.name.endswith((".tar.gz", ".zip")):
            metadata = _sdist(path, rules, found)
    except UNREADABLE as error:
        found.append(("archive-unreadable", str(error) or type(error).__name__))
    unknown = metadata.unknown if metadata and _asks("description", rules) else ()
    return Review(breaches=rules.kept(found), unknown=unknown, metadata=metadata)


def _asks(name: str, rules: IndexRules) -> bool:
    return any(rule.name == name for rule in rules.rules)


def _wheel(path: Path, rules: IndexRules, found: list[tuple[str, str]]) -> MetadataReview | None:
    archive = WheelArchive(path)
    with archive.zip:
        found += archive.breaches(rules)
        data = archive.text("METADATA")
        if data is None:
            return None
        metadata = review_metadata(data, rules.table)
        found += metadata.found
        found += archive.licenses(metadata.license_files)
    if metadata.name and metadata.version:
        found += file_names.wheel_stands_for(path.name, metadata.name, metadata.version)
    return metadata


def _sdist(path: Path, rules: IndexRules, found: list[tuple[str, str]]) -> MetadataReview | None:
    if path.name.endswith(".zip"):
        found.append(("sdist-name", "it must be a .tar.gz"))
        return None
    archive = SdistArchive(path)
    found += archive.breaches()
    if archive.pkg_info is None:
        return None
    metadata = review_metadata(archive.pkg_info, rules.table)
    found += metadata.found
    found += archive.licenses(metadata.license_files)
    if metadata.name and metadata.version:
        found += file_names.sdist_stands_for(path.name, metadata.name, metadata.version)
    return metadata
