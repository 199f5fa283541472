from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheels import NATIVE, build_wheel

from pytest_manylinux.artifacts import ArtifactKind, collect_artifacts, read_artifact
from pytest_manylinux.errors import UsageError
from pytest_manylinux.inspect.wheel_file import open_wheel


def make_sdist(folder: Path, filename: str, member: str = "demo-1.0/PKG-INFO") -> Path:
    path = folder / filename
    if filename.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, "Name: demo")
    else:
        with tarfile.open(path, "w:gz") as tar:
            info = tarfile.TarInfo(member)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"Name"))
    return path


def test_a_wheel_is_read_with_its_digest_tags_and_requires_python(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""}, tag=NATIVE, requires_python=">=3.10")
    artifact = read_artifact(path)
    assert artifact.kind is ArtifactKind.WHEEL
    assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {str(tag) for tag in artifact.tags} == {NATIVE}
    assert artifact.requires_python == ">=3.10"


@pytest.mark.parametrize("filename", ["demo-1.0.tar.gz", "demo-1.0.zip"])
def test_a_source_distribution_has_pkg_info(tmp_path: Path, filename: str) -> None:
    assert read_artifact(make_sdist(tmp_path, filename)).kind is ArtifactKind.SDIST
    bare = read_artifact(make_sdist(tmp_path, filename, member="demo-1.0/setup.py"))
    assert (bare.kind, bare.problem) == (ArtifactKind.OTHER, "no PKG-INFO in it")


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("demo-1.0-py3-none-any.whl", b"not a zip"),
        ("demo.whl", b"PK"),
        ("demo-1.0.tar.gz", b"not a tar"),
        ("demo.tar.gz", b""),
        ("notes.txt", b"hello"),
        ("demo-1.0-py3-none-any.whl.asc", b"signature"),
        ("demo-1.0.exe", b"MZ"),
    ],
)
def test_what_is_neither_says_why(tmp_path: Path, filename: str, content: bytes) -> None:
    path = tmp_path / filename
    path.write_bytes(content)
    artifact = read_artifact(path)
    assert artifact.kind is ArtifactKind.OTHER
    assert artifact.problem


@pytest.mark.parametrize(
    ("platform", "foreign"),
    [
        ("win_amd64", True),
        ("macosx_11_0_arm64", True),
        ("any", False),
        ("manylinux1_x86_64", False),
        ("musllinux_1_2_x86_64", False),
        ("linux_x86_64", False),
        ("win_amd64.linux_x86_64", False),
    ],
)
def test_foreign_is_what_no_linux_can_take(tmp_path: Path, platform: str, foreign: bool) -> None:  # noqa: FBT001
    path = build_wheel(tmp_path, {"demo.py": ""}, tag=f"cp311-cp311-{platform}")
    assert read_artifact(path).is_foreign is foreign


def test_a_folder_is_all_its_files_but_the_hidden_ones(tmp_path: Path) -> None:
    build_wheel(tmp_path, {"demo.py": ""})
    (tmp_path / ".gitignore").write_text("*")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "sub").mkdir()
    names = [a.filename for a in collect_artifacts([tmp_path])]
    assert names == ["demo-1.0-py3-none-any.whl", "notes.txt"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""})
    assert len(collect_artifacts([path, tmp_path, path])) == 1


def test_nothing_to_read_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files to look at"):
        collect_artifacts([tmp_path])
    with pytest.raises(UsageError, match="does not exist"):
        collect_artifacts([tmp_path / "gone.whl"])


@pytest.mark.parametrize("read", [read_artifact, open_wheel])
def test_a_pipe_under_a_wheels_name_is_not_waited_for(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    pipe, link = (tmp_path / f"{name}-1.0-py3-none-any.whl" for name in ("pipe", "link"))
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UsageError, match="is a named pipe, not a file"):
            read(path)


@settings(max_examples=150)
@given(st.binary(max_size=40), st.integers(0, 400), st.booleans())
def test_damaged_archives_never_raise(
    tmp_path_factory: pytest.TempPathFactory,
    junk: bytes,
    place: int,
    sdist: bool,  # noqa: FBT001
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = make_sdist(folder, "demo-1.0.tar.gz") if sdist else build_wheel(folder, {"demo.py": "x = 1"})
    content = path.read_bytes()
    path.write_bytes(content[:place] + junk + content[place + len(junk) :])
    assert read_artifact(path).kind in set(ArtifactKind)
