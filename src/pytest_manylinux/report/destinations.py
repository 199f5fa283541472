"""Where reports are to go, looked at before anything is run: what lies there may be no report.

A flag without its value takes the next word as it (`--manylinux-html dist/demo.whl`), and a variable
that a CI job has not set leaves an empty one. Neither may cost a file, nor come out after an hour.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pytest_manylinux.errors import UsageError


class ReportForm(enum.Enum):
    """What a report begins with, in lower case; a signed proof begins as a plain one does."""

    JSON = b"{"
    HTML = b"<!doctype html>"
    MARKDOWN = b"## portability of wheels"


class Destination(NamedTuple):
    """A file that is to become a report; `flag` names it in messages."""

    flag: str
    path: Path
    form: ReportForm


def check_destinations(destinations: Iterable[Destination]) -> None:
    """Raise UsageError for what cannot be written, two reports in one file, a file that is no report.

    A file that is empty may be replaced, and so may whatever is no plain file.
    """
    seen: dict[str, str] = {}
    for flag, path, form in destinations:
        if path.is_dir():
            raise UsageError(f"{flag}: {path} is a folder", remedy="name a file")
        if (other := seen.setdefault(os.path.realpath(path), flag)) != flag:
            raise UsageError(
                f"{flag} and {other} name one file: {path}", remedy="name a file for each of them"
            )
        above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise UsageError(
                f"{flag}: {path} could not be written",
                why=f"{above} is no folder that may be written",
                remedy="name a file in another folder",
            )
        if path.is_block_device() or path.is_socket():
            raise UsageError(f"{flag}: {path} is no file", remedy="name a file")
        if path.is_file() and not _may_be_replaced(path, form):
            raise UsageError(
                f"{flag}: {path} is there, and is no earlier report",
                why="it would be replaced by the report",
                remedy="name another file, or remove this one",
            )


def _may_be_replaced(path: Path, form: ReportForm) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(form.value))
    except OSError:
        return False
    return head.lower() in {b"", form.value}
