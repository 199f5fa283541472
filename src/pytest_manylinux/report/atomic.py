"""Reports that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from pytest_manylinux.errors import ReportError
from pytest_manylinux.images.draft import write_whole


def write_atomically(path: Path, content: bytes) -> None:
    """Write aside and rename, so that a reader or a crash never meets half a file.

    Missing folders are made. A link is followed: what it points to is replaced, the link stays.
    The file gets the permissions that the user's umask gives to any new file. Raises ReportError
    where the place cannot be written.
    """
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        write_whole(real, content)
    except OSError as error:
        raise ReportError(
            f"{path} could not be written",
            why=error.strerror or str(error),
            remedy="name a file in a folder that can be written and has room",
        ) from error
