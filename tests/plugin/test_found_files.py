"""What lies below a project that is named, and is none of its release."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from collecting import FOUR, ids, make_project
from wheels import build_wheel


def collected(pytester: pytest.Pytester, *paths: str) -> tuple[list[str], list[str]]:
    """The ids of items by the paths before `::`, each once, and the lines of notes."""
    result = pytester.runpytest("--manylinux", "--collect-only", "-q", FOUR, *paths)
    assert result.ret == pytest.ExitCode.OK
    notes = [line for line in result.outlines if line.startswith("manylinux: not ")]
    return list(dict.fromkeys(one.partition("::")[0] for one in ids(result))), notes


def packed(path: Path, *names: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    make_project(pytester.path)
    return pytester.path


@pytest.mark.parametrize("folder", ["tests", "pkg/Testing/data", "docs", "examples"])
def test_wheels_and_projects_for_a_projects_tests_are_not_tried(
    pytester: pytest.Pytester, project: Path, folder: str
) -> None:
    build_wheel(project / folder, name="a", version="1.0", files={"a.py": b""})
    make_project(project / folder / "ext")
    packed(project / folder / "b-1.0.tar.gz", "b-1.0/PKG-INFO")
    found, notes = collected(pytester, ".")
    assert found == ["."]
    assert len(notes) == 1
    assert all(name in notes[0] for name in ("a-1.0-py3-none-any.whl", "ext", "b-1.0.tar.gz"))


def test_what_is_named_is_tried_wherever_it_lies(pytester: pytest.Pytester, project: Path) -> None:
    wheel = build_wheel(project / "tests", name="a", version="1.0", files={"a.py": b""})
    assert collected(pytester, "tests") == ([f"tests/{wheel.name}"], [])
    assert collected(pytester, ".", f"tests/{wheel.name}") == ([".", f"tests/{wheel.name}"], [])


def test_folders_that_are_no_part_of_a_project_are_searched_whatever_their_names(
    pytester: pytest.Pytester,
) -> None:
    wheel = build_wheel(pytester.path / "tests", name="a", version="1.0", files={"a.py": b""})
    assert collected(pytester, ".") == ([f"tests/{wheel.name}"], [])


def test_packed_sources_of_a_library_are_no_sdists(pytester: pytest.Pytester, project: Path) -> None:
    packed(project / "vendor/zlib-1.3.1.tar.gz", "zlib-1.3.1/zlib.h", "zlib-1.3.1/contrib/PKG-INFO")
    (project / "vendor/table-1.zip").write_bytes(_zip("table.csv"))
    found, notes = collected(pytester, ".")
    assert found == ["."]
    assert notes == ["manylinux: not sdists, since they hold no PKG-INFO: vendor/zlib-1.3.1.tar.gz"]


def test_an_archive_that_cannot_be_read_may_have_been_an_sdist(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "out").mkdir()
    (project / "out/demo-1.0.tar.gz").write_bytes(b"cut off")
    result = pytester.runpytest("--manylinux", "--collect-only", FOUR, ".")
    result.stdout.fnmatch_lines(["*demo-1.0.tar.gz cannot be read as an sdist"])
    assert result.ret != pytest.ExitCode.OK


def test_an_sdist_packed_as_zip_says_what_an_sdist_is(pytester: pytest.Pytester, project: Path) -> None:
    (project / "out").mkdir()
    (project / "out/demo-1.0.zip").write_bytes(_zip("demo-1.0/PKG-INFO"))
    result = pytester.runpytest("--manylinux", "--collect-only", FOUR, ".")
    result.stdout.fnmatch_lines(["*an sdist (.tar.gz) or a wheel"])


def _zip(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "")
    return content.getvalue()
