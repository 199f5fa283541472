"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pytest_manylinux.errors import ReportError


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
        handle, aside = tempfile.mkstemp(prefix=f".{real.name[:100]}.", dir=real.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), 0o666 & ~_umask())
                stream.flush()
                os.fsync(stream.fileno())
            Path(aside).replace(real)
        except BaseException:
            with suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        raise ReportError(
            f"{path} could not be written",
            why=error.strerror or str(error),
            remedy="name a file in a folder that can be written and has room",
        ) from error


def _umask() -> int:
    """The process's umask; reading it needs setting it for a moment."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
