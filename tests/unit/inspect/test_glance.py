"""Reading a wheel without unpacking what is not ELF: the same facts, less of a check."""

from __future__ import annotations

import importlib
import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import ElfSpec
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.inspect import deflate
from pytest_manylinux.inspect import wheel_file as reading
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.inspect.zip_archive import Archive

FILES: dict[str, bytes | str] = {
    "demo/__init__.py": "import this\n",
    "demo/_a.so": extension_spec("_a").build(),
    "demo/empty": b"",
    "demo/no_suffix": ElfSpec(soname="libx.so.1", needed=("libc.so.6",)).build(),
    "demo/noise.bin": bytes(range(256)) * 40,
}


def repacked(wheel: Path, method: int, *, extra: bytes = b"") -> Path:
    """The same wheel, packed in another way, with an extra field in each local header."""
    with zipfile.ZipFile(wheel) as old:
        content = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(wheel, "w") as new:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.extra = method, extra
            new.writestr(entry, data)
    return wheel


# An extra field of a kind that nobody knows, longer than what is read at first.
LONG_EXTRA = (0xCAFE).to_bytes(2, "little") + (2000).to_bytes(2, "little") + bytes(2000)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("extra", [b"", LONG_EXTRA])
@pytest.mark.parametrize("batch", [1, reading.BATCH])
def test_the_facts_are_the_same_however_it_is_packed(
    tmp_path: Path, method: int, extra: bytes, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", batch)
    path = repacked(build_wheel(tmp_path, FILES, tag=NATIVE), method, extra=extra)
    facts = glance(path)
    assert [file.path for file in facts.elf] == ["demo/_a.so", "demo/no_suffix"]
    assert facts == replace(read_wheel(open_wheel(path)), contents=())  # digests are not compared


def test_both_libraries_unpack_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build_wheel(tmp_path, FILES, tag=NATIVE)
    assert deflate.decompressobj is not zlib.decompressobj  # or the other was not tried
    first = read_wheel(open_wheel(path))
    for name in ("decompressobj", "crc32"):
        monkeypatch.setattr(deflate, name, getattr(zlib, name))
    assert read_wheel(open_wheel(path)) == first


def test_without_the_faster_library_zlib_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "isal.isal_zlib", None)
        importlib.reload(deflate)
        assert deflate.decompressobj is zlib.decompressobj
        assert deflate.DeflateError is zlib.error
    importlib.reload(deflate)
    assert deflate.decompressobj is not zlib.decompressobj


def damaged(path: Path, old: bytes, new: bytes) -> Path:
    """The wheel with the first such bytes replaced."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"demo/_a.so", b"demo/_b.so", "has another name in the archive's directory"),
        (b"PK\3\4", b"PK\3\5", "has no header of its own"),
        (b"print('here')", b"print('hare')", "checksum"),
    ],
)
def test_a_file_that_is_not_what_the_directory_says(
    tmp_path: Path, old: bytes, new: bytes, why: str
) -> None:
    files: dict[str, bytes | str] = {"demo/_a.so": extension_spec("_a").build()}
    files |= {"demo/here.py": "print('here')"}
    path = repacked(build_wheel(tmp_path, files, tag=NATIVE), zipfile.ZIP_STORED)
    with pytest.raises(MalformedWheelError, match=why):
        read_wheel(open_wheel(damaged(path, old, new)))


@pytest.mark.parametrize("stated", [-1, 1])
def test_a_file_of_another_size_than_stated(tmp_path: Path, stated: int) -> None:
    path = build_wheel(tmp_path, FILES, tag=NATIVE)
    with Archive(path) as archive:
        archive.files["demo/noise.bin"].file_size += stated
        with pytest.raises(MalformedWheelError, match=r"noise.bin cannot be unpacked"):
            archive.read("demo/noise.bin", limit=1 << 20)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_beginning_is_what_the_file_begins_with(tmp_path: Path, method: int) -> None:
    path = repacked(build_wheel(tmp_path, FILES, tag=NATIVE), method, extra=LONG_EXTRA)
    with Archive(path) as archive:
        for name, data in FILES.items():
            whole = data.encode() if isinstance(data, str) else data
            assert archive.beginning(name, 4) == whole[:4]


def test_a_wrong_digest_is_seen_by_reading_only(tmp_path: Path) -> None:
    record = b"".join(f"{name},sha256=AAAA,\n".encode() for name in FILES)
    record += b"".join(f"demo-1.0.dist-info/{name},,\n".encode() for name in ("METADATA", "WHEEL"))
    record += b"demo-1.0.dist-info/RECORD,,\n"
    path = build_wheel(tmp_path, FILES, tag=NATIVE, record=record)
    assert len(glance(path).elf) == 2
    assert len(read_wheel(open_wheel(path)).mismatches) == len(FILES)


def test_a_damaged_elf_file_is_seen_at_a_glance_too(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, FILES, tag=NATIVE)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("demo/_a.so").header_offset + 30 + len("demo/_a.so")
    path.write_bytes(content[: start + 100] + b"\xff\xff\xff\xff" + content[start + 104 :])
    with pytest.raises(MalformedWheelError, match=r"demo/_a\.so cannot be unpacked"):
        glance(path)
