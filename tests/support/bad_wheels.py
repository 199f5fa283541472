"""Wheels that break the specification, a function each: give it a folder, get the path."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from wheels import build_wheel, make_record

FILES = {"demo/__init__.py": "", "demo/data.txt": "x" * 100}
NAME = "demo-1.0-py3-none-any.whl"


def added(folder: Path, name: str, data: bytes = b"", **fields: int) -> Path:
    """A sound wheel with one more entry, whatever it is called."""
    path = build_wheel(folder, FILES)
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    for field, value in fields.items():
        setattr(info, field, value)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, data)
    return path


def not_a_zip(folder: Path) -> Path:
    (folder / NAME).write_bytes(b"<html>404</html>")
    return folder / NAME


def empty(folder: Path) -> Path:
    (folder / NAME).write_bytes(b"")
    return folder / NAME


def cut_short(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def any_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / NAME, "w") as file:
        file.writestr("readme.txt", "hello")
    return folder / NAME


def other_project(folder: Path) -> Path:
    return build_wheel(folder, FILES, metadata=b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")


def other_version(folder: Path) -> Path:
    return build_wheel(folder, FILES, metadata=b"Metadata-Version: 2.1\nName: demo\nVersion: 1.1\n")


def renamed(folder: Path) -> Path:
    return build_wheel(folder, FILES, filename="other-1.0-py3-none-any.whl")


def no_name(folder: Path) -> Path:
    return build_wheel(folder, FILES, metadata=b"Metadata-Version: 2.1\nVersion: 1.0\n")


def two_infos(folder: Path) -> Path:
    return build_wheel(folder, {**FILES, "other-1.0.dist-info/METADATA": ""})


def no_record(folder: Path) -> Path:
    return build_wheel(folder, FILES, leave_out=("RECORD",))


def no_wheel_file(folder: Path) -> Path:
    return build_wheel(folder, FILES, leave_out=("WHEEL",))


def future_format(folder: Path) -> Path:
    return build_wheel(folder, FILES, wheel_file=b"Wheel-Version: 2.0\nTag: py3-none-any\n")


def wrong_digest(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content["demo/data.txt"] = b"y" * 100
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def wrong_size(folder: Path) -> Path:
    path = build_wheel(folder, {"demo/__init__.py": ""})
    with zipfile.ZipFile(path) as file:
        record = file.read("demo-1.0.dist-info/RECORD")
    grown = record.replace(b",0\n", b",7\n", 1)
    assert grown != record
    return build_wheel(folder, {"demo/__init__.py": ""}, record=grown)


def unlisted(folder: Path) -> Path:
    return added(folder, "demo/stowaway.py")


def listed_but_absent(folder: Path) -> Path:
    return build_wheel(folder, FILES, leave_out=("METADATA.extra",), record=_record_of_a_ghost())


def _record_of_a_ghost() -> bytes:
    # RECORD is checked against the list of files before any digest is.
    names = ("demo/__init__.py", "demo/data.txt", "demo/ghost.py")
    infos = ("demo-1.0.dist-info/METADATA", "demo-1.0.dist-info/WHEEL")
    return make_record(dict.fromkeys((*names, *infos), b""), "demo-1.0.dist-info/RECORD")


def unknown_hash(folder: Path) -> Path:
    return build_wheel(folder, FILES, record=b"demo/__init__.py,crc32=abc,0\n")


def binary_record(folder: Path) -> Path:
    return build_wheel(folder, FILES, record=b"\xff\xfe\x00")


def traversal(folder: Path) -> Path:
    return added(folder, "demo/../../../etc/cron.d/x")


def absolute(folder: Path) -> Path:
    return added(folder, "/etc/cron.d/x")


def drive(folder: Path) -> Path:
    return added(folder, "C:/x")


def backslash(folder: Path) -> Path:
    return added(folder, "demo\\..\\x")


def control_character(folder: Path) -> Path:
    return added(folder, "demo/\x1b[2Jx\n.py")


def twice(folder: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return added(folder, "demo/__init__.py")


def twice_in_disguise(folder: Path) -> Path:
    return added(folder, "demo/./__init__.py")


def file_and_folder(folder: Path) -> Path:
    return added(folder, "demo/data.txt/inside")


def symbolic_link(folder: Path) -> Path:
    return added(folder, "demo/link", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16)


def device(folder: Path) -> Path:
    return added(folder, "demo/dev", external_attr=(stat.S_IFCHR | 0o666) << 16)


def encrypted(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    return path


def packed_as_nobody_can(folder: Path) -> Path:
    """PPMd (method 98), which the zip specification knows and no installer does."""
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.find(b"PK\x03\x04") + 8, 98)
    struct.pack_into("<H", data, data.find(b"PK\x01\x02") + 10, 98)
    path.write_bytes(data)
    return path


def directory_before_the_beginning(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<II", data, end + 12, len(data) * 4, 0)
    path.write_bytes(data)
    return path


def bit_flip(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    place = data.find(b"demo/data.txt") + len("demo/data.txt")
    data[place + 2] ^= 0xFF
    path.write_bytes(data)
    return path


def overlapping(folder: Path) -> Path:
    """A bomb whose entries share their packed bytes: each states the size of the whole file."""
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        struct.pack_into("<I", data, place + 20, len(data))
    path.write_bytes(data)
    return path


def huge_claim(folder: Path) -> Path:
    path = build_wheel(folder, FILES)
    data = bytearray(path.read_bytes())
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        struct.pack_into("<I", data, place + 24, 0xFFFFFFF0)
    path.write_bytes(data)
    return path


def bad_name(folder: Path) -> Path:
    return build_wheel(folder, FILES, filename="demo.whl")


def name_with_an_end(folder: Path) -> Path:
    return build_wheel(folder, FILES, name="demo_")


def metadata_in_latin(folder: Path) -> Path:
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nAuthor: J\xfcrgen\n".encode("latin-1")
    return build_wheel(folder, FILES, metadata=metadata)


def metadata_with_mark(folder: Path) -> Path:
    metadata = "\ufeffMetadata-Version: 2.1\nName: demo\nVersion: 1.0\n".encode()
    return build_wheel(folder, FILES, metadata=metadata)


def metadata_below_a_remark(folder: Path) -> Path:
    metadata = b"Metadata-Version: 2.1\nby hand\nName: demo\nVersion: 1.0\n"
    return build_wheel(folder, FILES, metadata=metadata)


def two_names(folder: Path) -> Path:
    metadata = b"Metadata-Version: 2.1\nName: demo\nName: demo\nVersion: 1.0\n"
    return build_wheel(folder, FILES, metadata=metadata)


def wheel_file_in_latin(folder: Path) -> Path:
    text = b"Wheel-Version: 1.0\nGenerator: \xff\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return build_wheel(folder, FILES, wheel_file=text)


def wheel_file_with_mark(folder: Path) -> Path:
    text = "\ufeffWheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".encode()
    return build_wheel(folder, FILES, wheel_file=text)


def no_wheel_version(folder: Path) -> Path:
    return build_wheel(folder, FILES, wheel_file=b"Root-Is-Purelib: true\nTag: py3-none-any\n")


def wheel_version_with_a_letter(folder: Path) -> Path:
    return build_wheel(folder, FILES, wheel_file=b"Wheel-Version: 1.a\nTag: py3-none-any\n")


def unknown_scheme(folder: Path) -> Path:
    return build_wheel(folder, {**FILES, "demo-1.0.data/share/man.1": ""})


def data_without_scheme(folder: Path) -> Path:
    return build_wheel(folder, {**FILES, "demo-1.0.data/table.txt": ""})


def file_called_like_data(folder: Path) -> Path:
    return build_wheel(folder, {**FILES, "tables.data": ""})


def offering(folder: Path, entry_points: bytes) -> Path:
    return build_wheel(folder, {**FILES, "demo-1.0.dist-info/entry_points.txt": entry_points})


def entry_point_on_two_lines(folder: Path) -> Path:
    return offering(folder, b"[console_scripts]\ndemo =\n    demo:main\n")


def entry_point_by_colon(folder: Path) -> Path:
    return offering(folder, b"[plugins]\ndemo: demo.main\n")


def entry_points_with_mark(folder: Path) -> Path:
    return offering(folder, "\ufeff[console_scripts]\ndemo = demo:main\n".encode())


def entry_points_in_latin(folder: Path) -> Path:
    return offering(folder, b"[console_scripts]\n# J\xfcrgen\ndemo = demo:main\n")
