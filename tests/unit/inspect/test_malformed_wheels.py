"""Every kind of bad wheel ends in one clear error that says what, why and what next."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_wheels import (
    FILES,
    NAME,
    absolute,
    any_zip,
    backslash,
    bad_name,
    binary_record,
    bit_flip,
    control_character,
    cut_short,
    data_without_scheme,
    device,
    directory_before_the_beginning,
    drive,
    empty,
    encrypted,
    entry_point_by_colon,
    entry_point_on_two_lines,
    entry_points_in_latin,
    entry_points_with_mark,
    file_and_folder,
    file_called_like_data,
    future_format,
    huge_claim,
    listed_but_absent,
    metadata_below_a_remark,
    metadata_in_latin,
    metadata_with_mark,
    name_with_an_end,
    no_name,
    no_record,
    no_wheel_file,
    no_wheel_version,
    not_a_zip,
    other_project,
    other_version,
    overlapping,
    packed_as_nobody_can,
    renamed,
    symbolic_link,
    traversal,
    twice,
    twice_in_disguise,
    two_infos,
    two_names,
    unknown_hash,
    unknown_scheme,
    unlisted,
    wheel_file_in_latin,
    wheel_file_with_mark,
    wheel_version_with_a_letter,
    wrong_digest,
    wrong_size,
)
from wheels import NATIVE, PURE, build_wheel, extension_spec

from pytest_manylinux.errors import ExitCode, MalformedWheelError, UsageError
from pytest_manylinux.inspect import wheel_file as wheel_module
from pytest_manylinux.inspect import zip_archive
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel

pytestmark = pytest.mark.attack("archive")

ENDLESS = "9" * 5000  # more digits than Python reads


@pytest.mark.parametrize(
    "line",
    [
        f"Requires-Python: >=3.{ENDLESS}",
        f"Requires-Dist: six>={ENDLESS}",
        f"Requires-Dist: a; b>'{ENDLESS}'",
    ],
)
def test_a_number_without_end_in_metadata_is_told(tmp_path: Path, line: str) -> None:
    metadata = f"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n{line}\n".encode()
    wheel = build_wheel(tmp_path, {"demo.py": ""}, metadata=metadata)
    with pytest.raises(MalformedWheelError, match="METADATA cannot be read"):
        read_wheel(open_wheel(wheel))


def test_a_size_without_end_in_record_is_none(tmp_path: Path) -> None:
    row = f"demo.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,{ENDLESS}\n"
    wheel = build_wheel(tmp_path, {"demo.py": ""}, record=row.encode())
    assert read_wheel(open_wheel(wheel)).wheel.name == "demo"


def read(path: Path) -> object:
    return read_wheel(open_wheel(path))


BAD: dict[Callable[[Path], Path], str] = {
    not_a_zip: "not a zip archive",
    empty: "not a zip archive",
    cut_short: "not a zip archive",
    any_zip: "no wheel",
    other_project: "name and metadata disagree",
    other_version: "name and metadata disagree",
    renamed: "name and metadata disagree",
    no_name: "METADATA has no Name",
    two_infos: "more than one .dist-info",
    no_record: "RECORD is missing",
    no_wheel_file: "no wheel",
    future_format: "Wheel-Version: '2.0'",
    binary_record: "RECORD cannot be read",
    traversal: "path traversal",
    absolute: "is absolute",
    drive: "is absolute",
    backslash: "holds a backslash",
    control_character: "control characters",
    twice: "twice",
    twice_in_disguise: "twice",
    file_and_folder: "both a file and a folder",
    symbolic_link: "a symbolic link",
    device: "a special file",
    encrypted: "encrypted",
    packed_as_nobody_can: "packed in an unusual way",
    directory_before_the_beginning: "not a zip archive",
    bit_flip: "cannot be unpacked",
    overlapping: "overlap",
    huge_claim: "unpacks to too much|a zip bomb",
    bad_name: "not the name of a wheel",
    name_with_an_end: "'demo_' has to begin and end with a letter",
    metadata_in_latin: "METADATA cannot be read",
    metadata_with_mark: "METADATA has no Name",
    metadata_below_a_remark: "METADATA has no Name",
    two_names: "METADATA has more than one Name",
    wheel_file_in_latin: "WHEEL cannot be read",
    wheel_file_with_mark: "WHEEL has no Wheel-Version",
    no_wheel_version: "WHEEL has no Wheel-Version",
    wheel_version_with_a_letter: "Wheel-Version: '1.a'",
    unknown_scheme: "in .data that has no place",
    data_without_scheme: "in .data that has no place",
    file_called_like_data: "in .data that has no place",
    entry_point_on_two_lines: "'demo:main' is not a line",
    entry_point_by_colon: "'demo: demo.main' is not a line",
    entry_points_with_mark: "is in no section",
    entry_points_in_latin: "entry_points.txt cannot be read",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_bad_wheel_is_one_clear_error(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)

    with pytest.raises(MalformedWheelError) as caught:
        read(path)

    error = caught.value
    assert re.search(BAD[make], str(error))
    assert error.what.startswith(f"{path.name}: ")
    assert error.remedy
    assert error.exit_code is ExitCode.NOT_PORTABLE
    assert "\x1b" not in str(error)


def test_every_error_but_the_plainest_says_why(tmp_path: Path) -> None:
    silent = set()
    for number, make in enumerate(BAD):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(MalformedWheelError) as caught:
            read(make(folder))
        if not caught.value.why:
            silent.add(make)

    assert silent <= {control_character, traversal, file_and_folder}  # their sentence is the reason


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        open_wheel(tmp_path / NAME)


def test_a_folder_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        open_wheel(tmp_path / NAME)


def test_bounds_are_enforced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build_wheel(tmp_path, {**FILES, "demo/zeros.bin": bytes(2_000_000)})

    with monkeypatch.context() as patch:
        patch.setattr(zip_archive, "RATIO_MATTERS_FROM", 1_000_000)
        with pytest.raises(MalformedWheelError, match="zip bomb"):
            read(path)
    with monkeypatch.context() as patch:
        patch.setattr(zip_archive, "MAX_ENTRIES", 3)
        with pytest.raises(MalformedWheelError, match="too many files"):
            read(path)
    with monkeypatch.context() as patch:
        patch.setattr(zip_archive, "MAX_UNPACKED", 1_000_000)
        with pytest.raises(MalformedWheelError, match="unpacks to too much"):
            read(path)
    with monkeypatch.context() as patch:
        patch.setattr(zip_archive, "MAX_NAME", 10)
        with pytest.raises(MalformedWheelError, match="too long"):
            read(path)
    read(path)


def test_small_breaches_are_problems_not_errors(tmp_path: Path) -> None:
    path = build_wheel(
        tmp_path,
        FILES,
        wheel_file=b"Wheel-Version: 0.9\nRoot-Is-Purelib: true\nTag: py2-none-any\n",
        metadata=b"Metadata-Version: 2.1\nName: Demo\nVersion: 1.0.0\nRequires-Dist: a b c\n"
        b"Requires-Python: three\n",
    )

    problems = read_wheel(open_wheel(path)).problems

    assert len(problems) == 4
    for word in ("Wheel-Version", "tags", "Requires-Dist", "Requires-Python"):
        assert any(word in problem for problem in problems)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (metadata_with_mark, "byte order mark"),
        (metadata_below_a_remark, "below one that is no header"),
        (no_name, "no header of it is Name"),
    ],
)
def test_why_a_header_is_not_found(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedWheelError) as caught:
        read(make(tmp_path))
    assert words in caught.value.why


def test_blanks_after_a_name_and_comments_of_other_kinds_are_problems(tmp_path: Path) -> None:
    path = build_wheel(
        tmp_path,
        {**FILES, "demo-1.0.dist-info/entry_points.txt": "; by hand\n[plugins]\ndemo = demo\n"},
        metadata=b"Metadata-Version: 2.1\nName: demo  \nVersion: 1.0\n",
    )

    problems = read_wheel(open_wheel(path)).problems

    assert [problem.partition(":")[0] for problem in problems] == ["METADATA", "entry_points.txt"]


def test_weak_digests_and_none_are_problems(tmp_path: Path) -> None:
    infos = "".join(f"demo-1.0.dist-info/{name},,\n" for name in ("METADATA", "WHEEL", "RECORD"))
    empty_md5 = "1B2M2Y8AsgTpgAmY7PhCfg"
    record = f"demo/__init__.py,md5={empty_md5},0\n{infos}".encode()

    problems = read_wheel(
        open_wheel(build_wheel(tmp_path, {"demo/__init__.py": ""}, record=record))
    ).problems

    assert any("md5 is too weak" in problem for problem in problems)
    assert any("no digest for" in problem for problem in problems)


def test_a_damaged_elf_file_is_named_and_left_out(tmp_path: Path) -> None:
    path = build_wheel(
        tmp_path, {**FILES, "demo/_x.so": b"\x7fELF\x02\x01\x01" + bytes(20)}, tag=NATIVE
    )

    facts = read_wheel(open_wheel(path))

    assert facts.elf == ()
    assert [problem for problem in facts.problems if problem.startswith("demo/_x.so: a damaged ELF")]


def test_names_are_compared_as_installers_do(tmp_path: Path) -> None:
    path = build_wheel(
        tmp_path,
        FILES,
        name="Demo.Project",
        version="1.0",
        filename=f"demo_project-1.0-{PURE}.whl",
        metadata=b"Metadata-Version: 2.1\nName: Demo.Project\nVersion: 1.0\n",
    )

    facts = read_wheel(open_wheel(path))

    assert facts.wheel.name == "demo-project"
    assert facts.metadata_name == "Demo.Project"
    assert facts.problems == ()


@pytest.mark.parametrize("make", [unlisted, listed_but_absent, unknown_hash])
def test_what_is_wrong_in_record_is_a_problem(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """No installer refuses it, so that it must not hide what a trial would show."""
    facts = read_wheel(open_wheel(make(tmp_path)))

    assert any(problem.startswith("RECORD is wrong: ") for problem in facts.problems)
    assert ("demo/stowaway.py" in facts.files) is (make is unlisted)
    assert "demo/ghost.py" not in facts.files


@pytest.mark.parametrize("name", sorted(hashlib.algorithms_guaranteed))
def test_record_may_use_every_algorithm_with_a_length(name: str, tmp_path: Path) -> None:
    stated = b"" if name.startswith("shake") else hashlib.new(name, b"x").digest()
    encoded = base64.urlsafe_b64encode(stated or b"x").rstrip(b"=").decode()
    infos = "".join(f"demo-1.0.dist-info/{info},,\n" for info in ("METADATA", "WHEEL", "RECORD"))
    record = f"demo/__init__.py,{name}={encoded},1\n{infos}".encode()

    facts = read_wheel(open_wheel(build_wheel(tmp_path, {"demo/__init__.py": "x"}, record=record)))

    assert facts.mismatches == ()
    assert any("unknown hash" in problem for problem in facts.problems) is name.startswith("shake")


def test_without_verifying_only_the_digests_go_unseen(tmp_path: Path) -> None:
    for make in (wrong_digest, wrong_size):
        wheel = open_wheel(make(tmp_path))
        assert len(read_wheel(wheel).mismatches) == 1
        assert read_wheel(wheel, verify=False).mismatches == ()
    for make in (no_record, traversal, other_project):
        with pytest.raises(MalformedWheelError):
            read_wheel(open_wheel(make(tmp_path)), verify=False)


def test_threads_find_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes | str] = {"demo/__init__.py": ""}
    files |= {f"demo/x{n}.so": extension_spec(f"x{n}").build() for n in range(40)}
    files["demo/bad.so"] = b"\x7fELF"
    wheel = open_wheel(build_wheel(tmp_path, files, tag=NATIVE))
    one = read_wheel(wheel)

    monkeypatch.setattr(wheel_module, "BATCH", 3000)
    monkeypatch.setattr(wheel_module, "IN_MEMORY", 100)
    many = read_wheel(wheel)

    assert many == one
    assert len(many.elf) == 40
    assert [elf.path for elf in many.elf] == [f"demo/x{n}.so" for n in range(40)]


def test_an_error_in_a_thread_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_module, "BATCH", 1)

    with pytest.raises(MalformedWheelError, match="cannot be unpacked"):
        read(bit_flip(tmp_path))


def test_archives_inside_are_data_and_cost_no_more(tmp_path: Path) -> None:
    """A bomb in a bomb: the inner one would be 64 MiB, and its claim far more."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1 << 26))
    path = build_wheel(tmp_path, {"demo/__init__.py": "", "demo/bomb.zip": inner.getvalue()})
    facts = read_wheel(open_wheel(path))
    assert inner.tell() < 1 << 17
    assert facts.elf == ()


def test_a_wheel_of_twenty_thousand_files_is_read(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"demo/part{number}.py": "" for number in range(20_000)}
    facts = read_wheel(open_wheel(build_wheel(tmp_path, {"demo/__init__.py": "", **files})))
    assert facts.top_level == ("demo",)
