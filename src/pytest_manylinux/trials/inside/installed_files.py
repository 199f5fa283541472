"""What an installation has added to the venv, as one file, and that file laid out for another venv.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only. The file is a
line of JSON, {folder of metadata: [[path below the venv, mode, size, date in nanoseconds], …]}, and
then the bytes of all files in that order. Dates are kept since compiled files name their source's.

Most of the time that takes is the kernel's, for making files: they are laid out beside the venv while
pip still installs the wheel, and moved in when that may be.
"""

import json
import os

from pytest_manylinux.trials.inside.venv_layout import VENV

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

METADATA = ".dist-info"
ASIDE = "/scratch/installed"  # in the file system of the venv


def files_of_venv() -> "set[str]":
    """List the paths of all files and links in the venv, below it."""
    return {
        os.path.relpath(os.path.join(folder, name), VENV)
        for folder, _, names in os.walk(VENV)
        for name in names
    }


def pack(before: "set[str]", sites: "list[str]", target: str) -> bool:
    """Write what came since `before` to a file, each under the distribution whose RECORD names it.

    Returns False, and writes nothing, where that does not account for every file.
    """
    new = files_of_venv() - before
    owned = {}  # type: dict[str, list[str]]
    for site in sites:
        for name in sorted(os.listdir(site)):
            record = os.path.join(site, name, "RECORD")
            if name.endswith(METADATA) and os.path.relpath(record, VENV) in new:
                owned[name] = [path for path in recorded(record, site) if path in new]
    listed = [path for paths in owned.values() for path in paths]
    plain = all(os.path.isfile(place(path)) and not os.path.islink(place(path)) for path in new)
    if not plain or sorted(listed) != sorted(new):
        return False
    index = {name: [described(path) for path in paths] for name, paths in owned.items()}
    with open(target, "wb") as file:
        file.write(json.dumps(index).encode("ascii") + b"\n")
        for path in listed:
            with open(place(path), "rb") as part:
                file.write(part.read())
    return True


def recorded(record: str, site: str) -> "list[str]":
    """List the paths in a RECORD, below the venv; a file that is named twice is there once."""
    import csv  # not free, and seldom needed

    with open(record, encoding="utf-8", newline="") as file:
        paths = [os.path.join(site, row[0]) for row in csv.reader(file) if row]
    return list(dict.fromkeys(os.path.relpath(os.path.normpath(path), VENV) for path in paths))


def place(path: str) -> str:
    """Give the place of a path below the venv."""
    return os.path.join(VENV, path)


def described(path: str) -> "list[Any]":
    """Tell path, mode, size and date of a file."""
    status = os.stat(place(path))
    return [path, status.st_mode & 0o777, status.st_size, status.st_mtime_ns]


def lay_aside(archive: str, left_out: "list[str]") -> None:
    """Lay out all distributions but those that are `left_out`, by their folders of metadata, in ASIDE.

    Raises OSError, with nothing there, where a file cannot be written or the archive ends too early.
    """
    with open(archive, "rb") as file:
        rows = [
            (entry, name not in left_out)
            for name, entries in json.loads(file.readline().decode("ascii")).items()
            for entry in entries
        ]
        try:
            os.makedirs(ASIDE)
            for folder in sorted({os.path.dirname(entry[0]) for entry, taken in rows if taken}):
                os.makedirs(os.path.join(ASIDE, folder), exist_ok=True)
            before = os.umask(0)  # files get their modes when they are made
            try:
                for entry, taken in rows:
                    if taken:
                        write(file, *entry)
                    else:
                        file.seek(entry[2], os.SEEK_CUR)
            finally:
                os.umask(before)
        except OSError:
            forget()
            raise


def write(file: "BinaryIO", path: str, mode: int, size: int, date: int) -> None:
    """Make one file of the next `size` bytes. Raises OSError, also where they are not all there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(os.path.join(ASIDE, path), flags, mode)
    try:
        content = file.read(size)
        written = os.write(descriptor, content)
        while written < len(content):
            written += os.write(descriptor, content[written:])
        if len(content) != size:
            raise OSError("the file ends too early")
        os.utime(descriptor, ns=(date, date))
    finally:
        os.close(descriptor)


def forget() -> None:
    """Remove what was laid aside."""
    import shutil  # not free, and seldom needed

    shutil.rmtree(ASIDE, ignore_errors=True)


def move_in() -> bool:
    """Move what was laid aside into the venv.

    Returns False, with nothing changed and nothing left aside, where a file is there already or one
    cannot be moved: an installer then tells of it in its own words.
    """
    moved = []  # type: list[tuple[str, str]]
    try:
        for source, target in list(moves("")):
            os.rename(source, target)
            moved.append((source, target))
    except OSError:
        for source, target in moved:
            os.rename(target, source)
        forget()
        return False
    return True


def moves(folder: str) -> "Iterator[tuple[str, str]]":
    """Yield (from, to) for all in a folder, given below the venv, that the venv has not.

    Raises FileExistsError where it has a file of that name.
    """
    for name in os.listdir(os.path.join(ASIDE, folder)):
        path = os.path.join(folder, name)
        source, target = os.path.join(ASIDE, path), place(path)
        if not os.path.lexists(target):
            yield source, target
        elif os.path.isdir(source) and os.path.isdir(target) and not os.path.islink(target):
            yield from moves(path)
        else:
            raise FileExistsError(target)
