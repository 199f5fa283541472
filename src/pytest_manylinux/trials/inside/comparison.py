"""What an installation has left, held against the files that the wheel was seen to hold.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only. Nothing here
judges: files that pip writes itself are told like all others.
"""

import csv
import hashlib
import os
import stat

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

PIECE = 1 << 16
MOST = 1000  # differences, and files besides, that are told


def compare(venv: str, request: "dict[str, Any]") -> "dict[str, Any]":
    """Compare (errand.py describes the request); paths are told as they are below the venv.

    `differing` are [path, size or None, digest, whether another distribution lists it too].
    """
    expected = {path: (size, digest) for path, size, digest in request["files"]}
    ours, theirs = owners(venv, request["sites"], request["own"])
    differing = []
    for path, (size, digest) in expected.items():
        found = look(os.path.join(venv, path), size, digest)
        if found != (size, digest):
            differing.append([path, found[0], found[1], path in theirs])
    laid_out = {entry[1] for entry in request["venv"]}
    besides = [
        path
        for path in files_below(venv, request["seeded"])
        if path not in expected and path not in laid_out and (path in ours or path not in theirs)
    ]
    return {
        "compared": len(expected),
        "differing": sorted(differing)[:MOST],
        "besides": sorted(besides)[:MOST],
    }


def look(place: str, size: int, digest: str) -> "tuple[int | None, str]":
    """Size and digest as they are, as far as they are asked for; what is no plain file has no size.

    A size of -1 asks only for a plain file, an empty digest only for its size.
    """
    try:
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode):
            return None, ""
        if size < 0:
            return size, digest
        if status.st_size != size or not digest:
            return status.st_size, ""
        return size, sha256(place)
    except OSError:
        return None, ""


def sha256(place: str) -> str:
    """The SHA-256 of a plain file, in hexadecimal."""
    found, piece = hashlib.sha256(), memoryview(bytearray(PIECE))
    with open(place, "rb", buffering=0) as file:
        count = file.readinto(piece)
        while count:
            found.update(piece[:count])
            count = file.readinto(piece)
    return found.hexdigest()


def owners(venv: str, sites: "Iterable[str]", own: str) -> "tuple[set[str], set[str]]":
    """The paths that the installed RECORD of the wheel lists, and those that all others list."""
    ours, theirs = set(), set()  # type: tuple[set[str], set[str]]
    for site in sites:
        for name in os.listdir(site):
            if name.endswith(".dist-info"):
                rows = records(os.path.join(site, name, "RECORD"))
                (ours if name == own else theirs).update(places(rows, site, venv))
    return ours, theirs


def places(rows: "Iterable[str]", site: str, venv: str) -> "Iterator[str]":
    """The rows of a RECORD in a site folder, as paths below the venv."""
    prefix = os.path.relpath(site, venv)
    for row in rows:
        if row.startswith("/") or ".." in row:
            yield os.path.relpath(os.path.normpath(os.path.join(site, row)), venv)
        else:
            yield f"{prefix}/{row}"


def records(place: str) -> "list[str]":
    """The paths in a RECORD, as they stand there; none if it cannot be read."""
    try:
        with open(place, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return [row[0] for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error):
        return []


def files_below(venv: str, left_out: "Iterable[str]") -> "Iterator[str]":
    """The paths of all that is no folder, but for the venv's own pip and the like, and bytecode."""
    skipped = {os.path.join(venv, path) for path in left_out}
    for folder, folders, names in os.walk(venv):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [
            name
            for name in folders
            if name != "__pycache__" and os.path.join(folder, name) not in skipped
        ]
        for name in names + links:
            yield f"{folder}/{name}"[len(venv) + 1 :]
