from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import ElfSpec
from triggers import LIBC, MODULE, native
from wheels import NATIVE, build_wheel

from pytest_manylinux.building.rebuild import CAUSES, ELSEWHERE
from pytest_manylinux.building.repair import set_plain_modes
from pytest_manylinux.building.source import turn_around
from pytest_manylinux.inspect.wheel_differences import WheelDifference, wheel_differences
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.run.outcomes import rebuild_findings

Files = dict[str, bytes | str]
INFO = "demo-1.0.dist-info"


def pair(folder: Path, first: Files, second: Files) -> tuple[WheelDifference, ...]:
    wheels = [
        build_wheel(folder / str(n), {"demo/__init__.py": "", **files}, tag=NATIVE)
        for n, files in enumerate((first, second))
    ]
    return wheel_differences(*wheels, causes=CAUSES)


def rewritten(wheel: Path, change: Callable[[list[zipfile.ZipInfo]], object]) -> Path:
    """A copy of the wheel in whose archive entries were changed."""
    target = wheel.parent / "changed" / wheel.name
    target.parent.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        contents = {info.filename: old.read(info) for info in old.infolist()}
        entries = old.infolist()
        change(entries)
        for info in entries:
            new.writestr(info, contents[info.filename], info.compress_type)
    return target


def test_the_same_bytes_do_not_differ(tmp_path: Path) -> None:
    assert pair(tmp_path, {**native()}, {**native()}) == ()


def test_a_path_in_a_module_is_named_with_the_section(tmp_path: Path) -> None:
    files = [
        native(rodata=f"\0{path}/x.c\0".encode()) for path in ("/scratch/source", ELSEWHERE.source)
    ]
    found = pair(tmp_path, {**files[0]}, {**files[1]})
    assert (found[0].member, found[0].section) == (MODULE, ".rodata")
    assert found[0].what == f"'/scratch/source/x.c', then '{ELSEWHERE.source}/x.c'"
    assert found[0].cause == "the path of the source"
    assert str(found[0]).startswith(f"{MODULE}, section .rodata: '/scratch/source/x.c'")
    assert all(one.member == MODULE for one in found)  # RECORD's digest only follows


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ("T = 1795933703\n", "T = 1830493720\n", "the time of the build"),
        ("D = 'Nov 29 2026'\n", "D = 'Jan  3 2028'\n", "the time of the build"),
        ("D = '2026-11-29'\n", "D = '2028-01-03'\n", "the time of the build"),
        ("H = 'sandbox'\n", "H = 'elsewhere'\n", "the name of the machine"),
        ("U = 'x'\n", "U = 'somebody'\n", "the user, or the home folder"),
        (
            "T = 1795933703; P = '/scratch/source'\n",
            f"T = 1830493720; P = '{ELSEWHERE.source}'\n",
            "the path of the source, the time of the build",
        ),
        ("N = 1\n", "N = 2\n", ""),
    ],
)
def test_what_a_text_shows_of_the_surroundings(
    first: str, second: str, cause: str, tmp_path: Path
) -> None:
    (found,) = pair(tmp_path, {"demo/info.py": "A = 1\n" + first}, {"demo/info.py": "A = 1\n" + second})
    assert (found.member, found.cause) == ("demo/info.py", cause)
    assert found.what == f"{first.strip()!r}, then {second.strip()!r}"


def test_bytes_that_are_no_text_are_counted(tmp_path: Path) -> None:
    (found,) = pair(tmp_path, {"demo/x.bin": b"\0\1\2\3"}, {"demo/x.bin": b"\0\1\\9\3"})
    assert str(found) == "demo/x.bin: 4 bytes, then 5; the first other one is at 0x2"
    (found,) = pair(tmp_path / "b", {"demo/x.bin": b"\0\1\2\3"}, {"demo/x.bin": b"\0\1\4\3"})
    assert str(found) == "demo/x.bin: 1 of 4 bytes differ, the first at 0x2"


def test_sections_that_one_of_the_two_has(tmp_path: Path) -> None:
    plain, debug = ElfSpec(needed=LIBC), ElfSpec(needed=LIBC, debug=True)
    found = pair(tmp_path, {"demo/l.so": plain.build()}, {"demo/l.so": debug.build()})
    assert any(one.what == "it is in the second wheel only" and one.section for one in found)


def test_members_that_one_of_the_two_has(tmp_path: Path) -> None:
    found = pair(tmp_path, {"demo/a.py": ""}, {"demo/b.py": ""})
    assert [str(one) for one in found if "RECORD" not in one.member] == [
        "demo/a.py: it is in the first wheel only",
        "demo/b.py: it is in the second wheel only",
    ]


def test_the_archives_own_times_modes_and_order(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {"demo/__init__.py": "", "demo/a.py": "", "demo/b.py": ""})

    def later(entries: list[zipfile.ZipInfo]) -> None:
        entries[1].date_time = (2026, 11, 29, 6, 0, 0)
        entries[2].external_attr = (stat.S_IFREG | 0o600) << 16
        entries.reverse()

    found = {str(one) for one in wheel_differences(wheel, rewritten(wheel, later))}
    assert (
        "demo/a.py: its time is 2020-01-01 00:00:00, then 2026-11-29 06:00:00 (the time of the build)"
        in found
    )
    assert "demo/b.py: its mode is 0o644, then 0o600 (the umask)" in found
    assert any(one.startswith("the archive: its members are in another order") for one in found)


def test_an_order_in_record_alone(tmp_path: Path) -> None:
    rows = [f"demo/{name}.py,," for name in "ab"]
    wheels = [
        build_wheel(
            tmp_path / str(n), {"demo/a.py": "", "demo/b.py": ""}, record="\n".join(order).encode()
        )
        for n, order in enumerate((rows, rows[::-1]))
    ]
    (found,) = wheel_differences(*wheels)
    assert found.member == f"{INFO}/RECORD"
    assert "another order, from row 1 on" in found.what


def test_other_packing_and_another_name_are_differences_too(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {"demo.py": "x = 1\n" * 100})
    stored = build_wheel(tmp_path / "s", {"demo.py": "x = 1\n" * 100}, method=zipfile.ZIP_STORED)
    assert "it is deflated, then stored" in {one.what for one in wheel_differences(wheel, stored)}
    other = tmp_path / "demo-1.0-py2.py3-none-any.whl"
    shutil.copy(wheel, other)
    (found,) = wheel_differences(wheel, other)
    assert found.what == f"it is called {wheel.name}, then {other.name}"
    with wheel.open("r+b") as file:
        copy = tmp_path / "c" / wheel.name
        copy.parent.mkdir()
        copy.write_bytes(file.read()[:-2] + b"\1\0x")
    (found,) = wheel_differences(wheel, copy)  # the archive has a comment
    assert str(found) == "the archive: its members are packed otherwise"


def test_a_finding_tells_what_a_second_build_showed() -> None:
    record = BuildRecord(project="p", python="cp311", policy="manylinux1", builder="zig")
    assert rebuild_findings(None) == []
    assert rebuild_findings(record) == []
    assert rebuild_findings(replace(record, reproducible=True)) == []
    (found,) = rebuild_findings(replace(record, reproducible=False, differences=("a", "b")))
    assert (found.severity, found.evidence) == (Severity.WARNING, ("a", "b"))
    assert found.message == "a second build in other surroundings differs: a, and in 1 more places"


def test_modes_become_plain_and_nothing_else_changes(tmp_path: Path) -> None:
    files: Files = {"demo/__init__.py": "", "demo-1.0.data/scripts/run": "#!python\n", **native()}
    wheel = build_wheel(tmp_path, files, tag=NATIVE)

    def odd(entries: list[zipfile.ZipInfo]) -> None:
        for info in entries:
            mode = info.external_attr >> 16
            info.external_attr = ((0o100700 if mode & 0o100 else 0o100600) << 16) | 1
        entries[0].external_attr = 0x20  # as made on a system without modes
        entries[0].extra = b"\xfe\xca\0\0"
        entries[1].comment = b"c"

    changed = rewritten(wheel, odd)
    before = read_wheel(open_wheel(changed))
    set_plain_modes(changed)
    with zipfile.ZipFile(changed) as archive:
        modes = {info.filename: info.external_attr for info in archive.infolist()}
        assert archive.testzip() is None
    assert modes.pop("demo/__init__.py") == 0x20
    assert modes.pop("demo-1.0.data/scripts/run") == (0o100755 << 16) | 1
    assert set(modes.values()) == {(0o100644 << 16) | 1}
    after = read_wheel(open_wheel(changed))
    assert after.contents == before.contents
    assert after.script_files == before.script_files


def test_a_source_turned_around_holds_the_same(tmp_path: Path) -> None:
    archive = tmp_path / "source.tar"
    tree = tmp_path / "tree"
    (tree / "b").mkdir(parents=True)
    for name in ("a", "b/c", "d"):
        (tree / name).write_text(name)
    (tree / "link").symlink_to("a")
    (tree / "hard").hardlink_to(tree / "a")
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, "source")
    with tarfile.open(archive) as tar:
        before = {member.name: (member.mode, member.type) for member in tar}
    turn_around(archive)
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        assert {member.name: (member.mode, member.type) for member in tar} == before
        tar.extractall(tmp_path / "out", filter="tar")
    assert names.index("source/b") < names.index("source/b/c")
    assert names.index("source/d") < names.index("source/b/c")
    assert (tmp_path / "out/source/hard").read_text() == "a"
