"""A Python in a folder of the cache: what is recorded of it, and how it is unpacked there."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import msgspec

from pytest_manylinux.cache.integrity import content_of, is_whole
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import StoreError
from pytest_manylinux.host.subprocesses import reason_of
from pytest_manylinux.model.distro import AddedPython, InterpreterOrigin
from pytest_manylinux.model.python import PythonVersion, parse_python

FOLDER = "pythons"
"""The folder in the cache that holds them, each in one of its own."""
_RECORD = "python.json"
_PREFIX = "prefix"
_TIMEOUT = 600.0


class PythonRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What python.json holds.

    `python` is its identifier (`cp314t`), `release` its full version, `digest` that of its files,
    `source` what it was made from, for people, and `pip` the version that it brings.
    """

    python: str
    release: str
    origin: str
    digest: str
    source: str
    pip: str = ""


def keep_python(
    folder: Path,
    archive: Path,
    *,
    version: PythonVersion,
    release: str,
    origin: InterpreterOrigin,
    source: str,
    pip: str = "",
) -> None:
    """Unpack a tar archive of a Python's prefix into a folder of the cache, with its record.

    Raises StoreError where it cannot be unpacked.
    """
    prefix = folder / _PREFIX
    prefix.mkdir()
    # tar keeps below the folder that it is told: it takes leading slashes off and refuses `..`.
    command = ("tar", "--extract", "--no-same-owner", f"--file={archive}", f"--directory={prefix}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode:
        raise StoreError(
            f"{archive.name} cannot be unpacked", why=reason_of(done.returncode, done.stderr[-500:])
        )
    write_record(folder, version=version, release=release, origin=origin, source=source, pip=pip)


def write_record(
    folder: Path,
    *,
    version: PythonVersion,
    release: str,
    origin: InterpreterOrigin,
    source: str,
    pip: str = "",
) -> None:
    """Record what lies in the folder's `prefix`."""
    record = PythonRecord(
        python=version.id,
        release=release,
        origin=origin.value,
        digest=f"sha256:{content_of(folder / _PREFIX)}",
        source=source,
        pip=pip,
    )
    (folder / _RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))


def kept_python(folder: Path) -> AddedPython | None:
    """The Python in a folder; None if there is none, or if it was damaged."""
    if not is_whole(folder):
        return None
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        record = decode_json((folder / _RECORD).read_bytes(), PythonRecord)
        return AddedPython(
            version=parse_python(record.python),
            release=record.release,
            origin=InterpreterOrigin(record.origin),
            folder=str(folder / _PREFIX),
            digest=record.digest,
            source=record.source,
        )
    return None


def python_fault(folder: Path) -> str:
    """Why a folder that came from elsewhere is not the Python that its record says; empty if it is."""
    try:
        record = decode_json((folder / _RECORD).read_bytes(), PythonRecord)
        content = content_of(folder / _PREFIX)
    except (OSError, msgspec.MsgspecError):
        return "it has no record that can be read"
    return "" if record.digest == f"sha256:{content}" else "its files are not those of its digest"
