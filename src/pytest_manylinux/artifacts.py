"""Files that are about to be uploaded: what kind each is, and the digest of its bytes."""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.metadata import parse_email
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
)

from pytest_manylinux.errors import UsageError
from pytest_manylinux.host.path_checks import require_plain
from pytest_manylinux.model.wheel_variants import parse_wheel_name

_SUFFIX = ".attestation"
_ATTESTATION = re.compile(r"(.+\.(?:whl|tar\.gz|zip))\.\w+\.attestation")
_CHUNK = 1 << 20
_METADATA_BOUND = 4 << 20  # bytes; long descriptions are in it

BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for archives that are damaged or made to hurt."""


class ArtifactKind(enum.Enum):
    """What a file is, by its name and by whether its content bears the name out."""

    WHEEL = "wheel"
    SDIST = "sdist"
    ATTESTATION = "attestation"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file. `problem` says why it is OTHER; `tags` and `requires_python` are a wheel's.

    `attested` are an attestation's subjects: (file name, SHA-256).
    """

    path: Path
    sha256: str
    kind: ArtifactKind
    tags: frozenset[Tag] = frozenset()
    requires_python: str = ""
    problem: str = ""
    attested: tuple[tuple[str, str], ...] = ()

    @property
    def filename(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def attests(self) -> str:
        """The file that an attestation is sent along with, by its name: twine goes by that alone."""
        match = _ATTESTATION.fullmatch(self.filename)
        return match[1] if match else ""

    @property
    def is_foreign(self) -> bool:
        """A wheel for macOS, Windows or another system only, by its tags."""
        return bool(self.tags) and not any(_is_for_linux(tag.platform) for tag in self.tags)


def attestation_problem(attestation: Artifact, files: Iterable[Artifact]) -> str:
    """Why an attestation (PEP 740) is not one of the bytes of a file among `files`; empty if it is."""
    name = attestation.attests
    for file in files:
        if file.filename != name:
            continue
        if attestation.attested == ((name, file.sha256),):
            return ""
        others = ", ".join(subject for subject, _ in attestation.attested if subject != name)
        if others:
            return f"it is about {others}, not about {name} alone"
        return f"it is of other bytes than {name} has, whose SHA-256 is {file.sha256}"
    return f"{name} is not among the files"


def _is_for_linux(platform: str) -> bool:
    return platform == "any" or platform.startswith(("linux_", "manylinux", "musllinux"))


def collect_artifacts(paths: Iterable[Path]) -> tuple[Artifact, ...]:
    """Read every file named, and every file in a folder named (hidden ones and folders left out).

    Raises UsageError for what does not exist or cannot be read, and if there is no file at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(p for p in path.iterdir() if _is_shown_file(p)))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"{path} does not exist", remedy="name wheels, sdists or their folder")
    if not found:
        raise UsageError("no files to look at", remedy="name wheels, sdists or their folder")
    return tuple(read_artifact(path) for path in found)


def _is_shown_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def read_artifact(path: Path) -> Artifact:
    """Read one file: its digest and kind. Opened once, so that both are of the same bytes."""
    require_plain(path)
    try:
        with path.open("rb") as stream:
            sha256 = digest(stream)
            stream.seek(0)
            return _read(path, sha256, stream)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from error


def digest(stream: BinaryIO) -> str:
    """SHA-256 of what is left in the stream, in hex."""
    state = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()


def _read(path: Path, sha256: str, stream: BinaryIO) -> Artifact:
    if path.suffix == ".whl":
        return _read_wheel(path, sha256, stream)
    if path.name.endswith((".tar.gz", ".zip")):
        return _read_sdist(path, sha256, stream)
    if path.suffix == _SUFFIX:
        return _read_attestation(path, sha256, stream)
    problem = "its name ends in neither .whl nor .tar.gz"
    return Artifact(path=path, sha256=sha256, kind=ArtifactKind.OTHER, problem=problem)


def _read_attestation(path: Path, sha256: str, stream: BinaryIO) -> Artifact:
    """The subjects of the in-toto Statement in a PEP 740 attestation; its signature is not checked."""
    problem, subjects = "its name is not FILE.KIND.attestation", tuple[tuple[str, str], ...]()
    if _ATTESTATION.fullmatch(path.name) is not None:
        problem = "no attestation of PEP 740, version 1"
        try:
            data = json.loads(stream.read(_METADATA_BOUND))
            statement = json.loads(base64.b64decode(data["envelope"]["statement"], validate=True))
            if data["version"] == 1:
                found = ((one["name"], one["digest"]["sha256"]) for one in statement["subject"])
                subjects = tuple((str(name), str(digest)) for name, digest in found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problem += f": {type(error).__name__}: {error}"
    if not subjects:
        return Artifact(path=path, sha256=sha256, kind=ArtifactKind.OTHER, problem=problem)
    return Artifact(path=path, sha256=sha256, kind=ArtifactKind.ATTESTATION, attested=subjects)


def _read_wheel(path: Path, sha256: str, stream: BinaryIO) -> Artifact:
    try:
        tags = parse_wheel_name(path.name)[3]
        requires = _requires_python(stream)
    except InvalidWheelFilename as error:
        return Artifact(path=path, sha256=sha256, kind=ArtifactKind.OTHER, problem=str(error))
    except BROKEN as error:
        problem = f"no readable wheel: {error}"
        return Artifact(path=path, sha256=sha256, kind=ArtifactKind.OTHER, problem=problem)
    return Artifact(
        path=path, sha256=sha256, kind=ArtifactKind.WHEEL, tags=tags, requires_python=requires
    )


def _requires_python(stream: BinaryIO) -> str:
    """Requires-Python from a wheel's METADATA; empty if there is none."""
    with zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            folder, _, file = name.partition("/")
            if file == "METADATA" and folder.endswith(".dist-info"):
                with archive.open(name) as member:
                    raw, _ = parse_email(member.read(_METADATA_BOUND))
                return raw.get("requires_python", "")
    return ""


def _read_sdist(path: Path, sha256: str, stream: BinaryIO) -> Artifact:
    try:
        parse_sdist_filename(path.name)
        problem = "" if _holds_pkg_info(path, stream) else "no PKG-INFO in it"
    except InvalidSdistFilename as error:
        problem = str(error)
    except BROKEN as error:
        problem = f"no readable archive: {error}"
    kind = ArtifactKind.OTHER if problem else ArtifactKind.SDIST
    return Artifact(path=path, sha256=sha256, kind=kind, problem=problem)


def _holds_pkg_info(path: Path, stream: BinaryIO) -> bool:
    """Whether `NAME-VERSION/PKG-INFO` is there, which every source distribution has."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(stream) as archive:
            return any(_is_pkg_info(name) for name in archive.namelist())
    with tarfile.open(fileobj=stream, mode="r:gz") as archive:
        return any(_is_pkg_info(member.name) for member in archive)


def _is_pkg_info(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/PKG-INFO")
