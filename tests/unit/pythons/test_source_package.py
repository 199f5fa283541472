"""CPython's source from a Debian-style archive: which suites are asked, and what is kept of it.

apt is this machine's; the archives are folders.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_manylinux.cache.integrity import seal_folder
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError, StoreError, ToolchainError
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay, InterpreterOrigin, Target
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.plan import added_interpreter, source_interpreter
from pytest_manylinux.pythons.kept import keep_python, kept_python
from pytest_manylinux.pythons.source_build import check_buildable
from pytest_manylinux.pythons.source_package import fetch_source

ROWS = load_catalogue()
CP313 = parse_python("cp313")


class FolderArchive(MachineApt):
    """An archive in a folder, whose suites have the source packages that they are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    def sources(
        self, recipe: ArchiveRecipe, way: ArchiveWay = ArchiveWay.ALL_SUITES
    ) -> tuple[str, ...]:
        assert way is ArchiveWay.PLAIN_SUITE
        self.asked.append(recipe.suite)
        return (f"deb [trusted=yes] file:{self.folder} {recipe.suite} main",)

    def transport(self) -> str:
        return ""

    def add(self, suite: str, release: str = "", *, served: bool = True) -> None:
        """A suite, and in it CPython's source of a release, whose files may be gone."""
        index = self.folder / "dists" / suite / "main" / "source" / "Sources"
        index.parent.mkdir(parents=True)
        index.write_text("")
        (self.folder / "dists" / suite / "Release").write_text(f"Suite: {suite}\nComponents: main\n")
        if not release:
            return
        files = {
            f"python3.13_{release}.orig.tar.xz": f"the source of {release}".encode(),
            f"python3.13_{release}-1.debian.tar.xz": b"Debian's part",
            f"python3.13_{release}-1.dsc": b"Format: 3.0 (quilt)\n",
        }
        lines = [
            f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in files.items()
        ]
        index.write_text(
            f"Package: python3.13\nBinary: python3.13\nVersion: {release}-1\nFormat: 3.0 (quilt)\n"
            "Directory: pool\nChecksums-Sha256:\n" + "\n".join(lines) + "\n"
        )
        if served:
            (self.folder / "pool").mkdir(exist_ok=True)
            for name, data in files.items():
                (self.folder / "pool" / name).write_bytes(data)


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path / "archive")


def recipes(*suites: str) -> list[ArchiveRecipe]:
    return [ArchiveRecipe(origin="debian", suite=suite) for suite in suites]


def fetch(archive: FolderArchive, cache: Path, *suites: str) -> tuple[str, str, bytes]:
    found = fetch_source(CP313, recipes(*suites), cache, apt=archive, say=lambda _: None)
    return found.release, found.suite, found.path.read_bytes()


def test_the_first_suite_that_gives_the_source_is_taken(archive: FolderArchive, tmp_path: Path) -> None:
    archive.add("old")
    archive.add("gone", "3.13.9", served=False)
    archive.add("new", "3.13.15")
    expected = ("3.13.15", "new", b"the source of 3.13.15")
    assert fetch(archive, tmp_path / "cache", "old", "gone", "new", "newer") == expected
    assert archive.asked == ["old", "gone", "new"]
    assert fetch(archive, tmp_path / "cache", "old") == expected
    assert len(archive.asked) == 3, "it is kept"


def test_what_each_suite_lacked_is_told(archive: FolderArchive, tmp_path: Path) -> None:
    archive.add("old")
    archive.add("gone", "3.13.9", served=False)
    with pytest.raises(ImageError) as caught:
        fetch(archive, tmp_path / "cache", "old", "gone")
    assert "old: E: Unable to find a source package for python3.13" in caught.value.why
    assert "gone: E: Failed to fetch" in caught.value.why
    assert "mirror" in caught.value.remedy


def suites(distro: str, python: str) -> Sequence[str]:
    found = source_interpreter(parse_python(python), ROWS.get(distro), ROWS.distros)
    return () if found is None else [one.suite for one in found.sources]


def test_the_own_suite_is_asked_first_then_those_that_package_the_release() -> None:
    assert suites("debian-13", "cp313t")[0] == "trixie"
    assert suites("debian-12", "cp313")[0] == "trixie"
    assert suites("debian-testing", "cp314t")[0] == "forky"
    assert "sid" in suites("debian-12", "cp315t")


@pytest.mark.parametrize(
    ("distro", "python"),
    [("debian-12", "cp35"), ("debian-12", "pp311"), ("fedora-43", "cp313t"), ("debian-12", "cp399")],
)
def test_there_is_none_where_no_suite_has_the_source(distro: str, python: str) -> None:
    assert suites(distro, python) == ()


def test_the_source_of_another_archive_is_taken_where_the_own_one_has_none() -> None:
    found = source_interpreter(parse_python("cp312"), ROWS.get("debian-12"), ROWS.distros)
    assert found is not None
    assert ("ubuntu", "noble") in [(one.origin, one.suite) for one in found.sources]
    assert {one.origin for one in found.sources} == {"ubuntu"}
    own = source_interpreter(parse_python("cp311"), ROWS.get("debian-13"), ROWS.distros)
    assert own is not None
    assert {one.origin for one in own.sources} == {"debian"}


def target(distro: str, python: str, arch: str = "x86_64") -> Target:
    version, row = parse_python(python), ROWS.get(distro)
    interpreter = added_interpreter(version, row, InterpreterOrigin.SOURCE)
    return Target(distro=row, arch=arch, interpreter=interpreter)


def test_the_place_of_such_a_target() -> None:
    found = target("debian-13", "cp313t")
    assert found.id == "debian-13+cp313t-x86_64"
    assert found.interpreter.executable == "/opt/python/cp313t/bin/python3"
    assert found.interpreter.packages == ROWS.get("debian-13").interpreters[0].packages


@pytest.mark.parametrize(
    ("distro", "python", "words"),
    [
        ("debian-13", "pp311", "PyPy 3.11 is not built"),
        ("fedora-43", "cp313t", "fedora-43 has no source"),
    ],
)
def test_what_is_not_built_says_so(distro: str, python: str, words: str) -> None:
    with pytest.raises(ToolchainError, match=words):
        check_buildable(target(distro, python))


def kept(folder: Path, content: bytes = b"#!/bin/sh\n") -> Path:
    folder.mkdir()
    archive = folder / "python.tar"
    source = folder / "python3"
    source.write_bytes(content)
    with tarfile.open(archive, "w") as tar:
        tar.add(source, "bin/python3")
    keep_python(
        folder,
        archive,
        version=parse_python("cp313t"),
        release="3.13.5",
        origin=InterpreterOrigin.SOURCE,
        source="python3.13_3.13.5.orig.tar.xz of trixie",
    )
    for path in (archive, source):
        path.unlink()
    seal_folder(folder)
    return folder


def test_a_kept_python_says_what_it_is(tmp_path: Path) -> None:
    found = kept_python(kept(tmp_path / "one"))
    assert found is not None
    assert found.title == "CPython 3.13.5 free-threaded, from source"
    assert (Path(found.folder) / "bin/python3").read_bytes() == b"#!/bin/sh\n"
    again = kept_python(kept(tmp_path / "two"))
    other = kept_python(kept(tmp_path / "three", b"other"))
    assert again is not None
    assert other is not None
    assert found.digest == again.digest != other.digest
    assert replace(found, origin=InterpreterOrigin.STANDALONE).title.endswith("standalone")


def test_a_damaged_one_is_not_taken(tmp_path: Path) -> None:
    folder = kept(tmp_path / "one")
    (folder / "prefix/bin/python3").write_bytes(b"something else")
    assert kept_python(folder) is None
    assert kept_python(tmp_path / "none") is None


def test_what_is_not_an_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "python.tar").write_bytes(b"not a tar archive")
    with pytest.raises(StoreError, match=r"python\.tar cannot be unpacked"):
        keep_python(
            tmp_path,
            tmp_path / "python.tar",
            version=CP313,
            release="3.13.5",
            origin=InterpreterOrigin.SOURCE,
            source="nothing",
        )
