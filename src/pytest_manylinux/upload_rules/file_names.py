"""Rules on the names of files: what a wheel and a source distribution may be called.

Each function yields pairs of a rule's name and how it is broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
)
from packaging.version import InvalidVersion, Version

from pytest_manylinux.model.wheel_variants import parse_wheel_name, split_variant
from pytest_manylinux.upload_rules.index_rules import IndexRules

Found = Iterator[tuple[str, str]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\/]")


def normalized(name: str) -> str:
    """A project's name as it begins the names of its files (PEP 625 and the wheel format)."""
    return canonicalize_name(name).replace("-", "_")


def any_name(filename: str) -> Found:
    """Rules for every file."""
    if _CONTROL.search(filename):
        yield "file-name", f"{filename!a} holds control characters or separators"
    if not filename.endswith((".whl", ".tar.gz", ".zip")):
        yield "file-kind", "its name ends in neither .whl nor .tar.gz"


def wheel_name(filename: str, rules: IndexRules) -> Found:
    """Rules for the name of a wheel alone."""
    label = split_variant(filename)[1]
    if label:
        yield "wheel-variant", f"it is a wheel variant (PEP 825) with the label {label}"
    try:
        *_, tags = parse_wheel_name(filename)
    except InvalidWheelFilename as error:
        yield "file-name", str(error)
        return
    unknown = sorted({tag.platform for tag in tags if not rules.takes_platform(tag.platform)})
    for platform in unknown:
        yield "platform-tag", f"the platform tag {platform} is not taken"


def wheel_stands_for(filename: str, name: str, version: str) -> Found:
    """Rules for a wheel's name beside the name and version of its metadata."""
    try:
        found, stated, *_ = parse_wheel_name(filename)
    except InvalidWheelFilename:
        return  # wheel_name says so
    if found != canonicalize_name(name):
        yield "name-differs", f"METADATA says Name: {name}, the file's name begins with {found}"
    elif (start := filename.partition("-")[0]) != normalized(name):
        yield "name-not-normalized", f"the file's name begins with {start}, not {normalized(name)}"
    if not _same(version, str(stated)):
        yield "version-differs", f"METADATA says Version: {version}, the file's name {stated}"


def _same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def sdist_stands_for(filename: str, name: str, version: str) -> Found:
    """Rules for a source distribution's name beside the name and version of its metadata."""
    try:
        expected = f"{normalized(name)}-{Version(version)}.tar.gz"
    except InvalidVersion:
        return  # the metadata's own rules say so
    if filename == expected:
        return
    if not normalized(filename).startswith(f"{normalized(name)}_"):
        yield "name-differs", f"PKG-INFO says Name: {name}, the file is called {filename}"
    yield "sdist-name", f"it must be called {expected}"
