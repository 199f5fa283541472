"""Kinds of wheels by their archive: compression, RECORD, METADATA."""

from __future__ import annotations

import base64
import hashlib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from kinds_of_wheels import WORKS, WheelKind, module, packed

ZSTANDARD = 93  # APPNOTE 4.4.5
_BLOCK = 1 << 16


def repacked(method: int) -> Callable[[Path], Path]:
    """A sound wheel whose files are packed by another method."""

    def make(folder: Path) -> Path:
        path = packed(folder, "repacked", {"repacked/_x.abi3.so": module(folder, "_x")})
        with zipfile.ZipFile(path) as archive:
            content = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in content:
                archive.writestr(name, data)
        return path

    return make


def packed_with_zstandard(suffix: str = "") -> Callable[[Path], Path]:
    """A sound wheel whose files, or some of them, are frames of Zstandard (RFC 8878)."""
    return lambda folder: _in_frames(folder, suffix)


def _in_frames(folder: Path, suffix: str) -> Path:
    path = packed(folder, "frames", {"frames/_x.abi3.so": module(folder, "_x")})
    with zipfile.ZipFile(path) as archive:
        content = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content:
            archive.writestr(name, _frame(data) if name.endswith(suffix) else data)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.start_dir
        for entry, (name, data) in zip(archive.infolist(), content, strict=True):
            crc, size = zlib.crc32(data).to_bytes(4, "little"), len(data).to_bytes(4, "little")
            heads = ((entry.header_offset, 8), (at, 10))  # APPNOTE 4.3.7, 4.3.12
            for start, method in heads if name.endswith(suffix) else ():
                raw[start + method : start + method + 2] = ZSTANDARD.to_bytes(2, "little")
                raw[start + method + 6 : start + method + 10] = crc
                raw[start + method + 14 : start + method + 18] = size
            at += 46 + len(entry.filename.encode()) + len(entry.extra) + len(entry.comment)
    path.write_bytes(raw)
    return path


def _frame(data: bytes) -> bytes:
    head = b"\x28\xb5\x2f\xfd" + bytes([0b10100000]) + len(data).to_bytes(4, "little")
    blocks = [data[place : place + _BLOCK] for place in range(0, len(data), _BLOCK)] or [b""]
    sizes = [len(block) << 3 | (number == len(blocks) - 1) for number, block in enumerate(blocks)]
    return head + b"".join(
        size.to_bytes(3, "little") + block for size, block in zip(sizes, blocks, strict=True)
    )


def recorded(record: Callable[[str, bytes], str]) -> Callable[[Path], Path]:
    """A sound wheel whose RECORD has for each file what `record` says."""

    def make(folder: Path) -> Path:
        path = packed(folder, "recorded", {"recorded/_x.abi3.so": module(folder, "_x")})
        with zipfile.ZipFile(path) as archive:
            content = {e.filename: archive.read(e) for e in archive.infolist()}
        own = "recorded-1.0.dist-info/RECORD"
        rows = [f"{name},{record(name, data)}" for name, data in content.items() if name != own]
        content[own] = "\n".join([*rows, f"{own},,", ""]).encode()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path

    return make


def by_algorithm(name: str) -> Callable[[str, bytes], str]:
    """RECORD's columns after the path, with a digest by an algorithm."""

    def row(path: str, data: bytes) -> str:
        del path
        digest = base64.urlsafe_b64encode(hashlib.new(name, data).digest()).rstrip(b"=").decode()
        return f"{name}={digest},{len(data)}"

    return row


def described(metadata: str = "", version: str = "1.0") -> Callable[[Path], Path]:
    """A sound wheel with more lines of metadata, or with another version."""

    def make(folder: Path) -> Path:
        files = {"described/_x.abi3.so": module(folder, "_x")}
        head = f"Metadata-Version: 2.1\nName: described\nVersion: {version}\n{metadata}"
        return packed(folder, "described", files, version=version, metadata=head.encode())

    return make


KINDS: tuple[WheelKind, ...] = (
    WheelKind(
        name="packed-with-bzip2",
        make=repacked(zipfile.ZIP_BZIP2),
        audit={"packed-unusually": "warning"},
    ),
    WheelKind(
        name="packed-with-lzma",
        make=repacked(zipfile.ZIP_LZMA),
        audit={"packed-unusually": "warning"},
    ),
    WheelKind(
        name="packed-with-zstandard",
        make=packed_with_zstandard(),
        audit={"packed-unusually": "warning"},
        predicted=("packed-unusually", "packed-unusually", "packed-unusually", WORKS),
    ),
    WheelKind(
        name="module-packed-with-zstandard",
        make=packed_with_zstandard(".so"),
        audit={"packed-unusually": "warning"},
        predicted=("packed-unusually", "packed-unusually", "packed-unusually", WORKS),
    ),
    WheelKind(name="record-by-blake2b", make=recorded(by_algorithm("blake2b"))),
    WheelKind(name="record-by-sha3", make=recorded(by_algorithm("sha3_256"))),
    WheelKind(
        name="record-by-nothing-known",
        make=recorded(lambda _, data: f"crc32=abc,{len(data)}"),
        audit={"wheel-malformed": "warning"},
    ),
    WheelKind(
        name="record-of-other-bytes",
        make=recorded(lambda name, data: by_algorithm("sha256")(name, data + b"x")),
        audit={"wheel-malformed": "error"},
    ),
    WheelKind(
        name="requirement-with-a-star",
        make=described('Provides-Extra: all\nRequires-Dist: idna (>=2.*) ; extra == "all"\n'),
        audit={"wheel-malformed": "warning"},
        predicted=(WORKS, WORKS, "install-failed", "install-failed"),
    ),
    WheelKind(
        name="requires-python-with-a-star",
        make=described("Requires-Python: >=3.6.*\n"),
        audit={"wheel-malformed": "warning"},
    ),
    WheelKind(
        name="version-outside-pep-440",
        make=described(version="1.0_beta_x"),
        audit={"wheel-malformed": "warning"},
        predicted=(WORKS, WORKS, "install-failed", "install-failed"),
    ),
    WheelKind(
        name="requirements-that-exclude-each-other",
        make=described("Requires-Dist: idna<1\nRequires-Dist: idna>=2; python_version > '3'\n"),
        predicted="install-failed",
    ),
    WheelKind(
        name="requirement-that-excludes-itself",
        make=described("Requires-Dist: idna<2,>=2\n"),
        predicted="install-failed",
    ),
    WheelKind(
        name="requirement-on-another-version-of-itself",
        make=described("Requires-Dist: described>=2\n"),
        predicted="install-failed",
    ),
    WheelKind(
        name="requirements-that-exclude-each-other-elsewhere",
        make=described(
            "Requires-Dist: idna<1; python_version < '3'\n"
            "Requires-Dist: idna>=2; sys_platform == 'win32'\n"
            "Provides-Extra: all\nRequires-Dist: described>=2; extra == 'all'\n"
        ),
    ),
    WheelKind(name="requirement-on-itself", make=described("Requires-Dist: described>=1,<2\n")),
    WheelKind(name="requires-python-with-a-comma", make=described("Requires-Python: >=3.6,\n")),
)
