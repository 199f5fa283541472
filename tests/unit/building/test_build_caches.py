"""Each project's builds have caches of their own; what all take from is written by nobody's build."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from pytest_manylinux.building import compiler, wheelhouse
from pytest_manylinux.building.compiler import (
    EDITED,
    compare_types_by_name,
    edition,
    warm_folder,
)
from pytest_manylinux.building.wheelhouse import (
    KEPT,
    forget_old_projects,
    has_cxx,
    project_cache,
    within_bounds,
)
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.model.policy import Policy


def own_folders(cache: Path, project: Path) -> list[Path]:
    return [project_cache(cache, project, name) for name in (f"zig-{edition(cache)}", "pip")]


def test_no_two_projects_share_a_folder(tmp_path: Path) -> None:
    cache, one, other = tmp_path / "cache", tmp_path / "one", tmp_path / "other"
    folders = [folder for project in (one, other) for folder in own_folders(cache, project)]
    assert len(set(folders)) == 4
    assert own_folders(cache, one) == own_folders(cache, tmp_path / "x" / ".." / "one")
    assert not any(warm_folder(cache).is_relative_to(folder) for folder in folders)
    assert not any(folder.is_relative_to(warm_folder(cache)) for folder in folders)


_HEADER = """\
#        if defined(_LIBCPP_OBJECT_FORMAT_COFF)
#          define _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION 2
#        else
#          define _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION 1
#        endif
#      if _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION == 1
"""


def test_the_cxx_library_compares_types_by_name(tmp_path: Path) -> None:
    header = tmp_path / "lib/libcxx/include/typeinfo"
    header.parent.mkdir(parents=True)
    header.write_text(_HEADER)
    compare_types_by_name(tmp_path)
    assert header.read_text() == _HEADER.replace("IMPLEMENTATION 1", "IMPLEMENTATION 2")
    with pytest.raises(ToolchainError, match="not the one that is known"):
        compare_types_by_name(tmp_path)


def test_nothing_of_a_compiler_that_was_replaced_is_taken(tmp_path: Path) -> None:
    compiler = tmp_path / "zig" / f"{EDITED}-x86_64" / "zig"
    compiler.parent.mkdir(parents=True)
    warm, own = [], []
    for fetched in (1, 2):
        compiler.write_bytes(b"the same bytes")
        os.utime(compiler, ns=(fetched, fetched))
        warm.append(warm_folder(tmp_path))
        own.append(own_folders(tmp_path, tmp_path / "project"))
    (of_zig, of_pip), (of_zig_then, of_pip_then) = own
    assert warm[0] != warm[1]
    assert of_zig != of_zig_then
    assert of_pip == of_pip_then
    os.utime(warm[0], (0, 0))
    forget_old_projects(tmp_path)
    assert [folder.exists() for folder in warm] == [False, True]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s/a.cpp", b"", True),
        ("s/a.cc", b"", True),
        ("s/a.C", b"", True),
        ("s/a.c", b"c++", False),
        ("s/a.pyx", b"# distutils: language = c++", True),
        ("s/a.pyx", b"def f(): pass", False),
        ("s/README.md", b"c++", False),
    ],
)
def test_where_there_is_cxx(tmp_path: Path, name: str, content: bytes, expected: bool) -> None:  # noqa: FBT001
    with tarfile.open(tmp_path / "source.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    assert has_cxx(tmp_path / "source.tar") is expected


def test_old_projects_are_forgotten_and_links_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "MOST", 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    folders = [project_cache(tmp_path, Path(f"/p/{n}"), "zig").parent for n in range(3)]
    (folders[2] / "zig" / "o").symlink_to(outside)
    for folder, age in zip(folders, (0.0, 86400.0 * 2, KEPT + 60), strict=True):
        os.utime(folder, (time.time() - age,) * 2)
    forget_old_projects(tmp_path)
    assert [folder.exists() for folder in folders] == [True, False, False]
    assert (outside / "file").exists()


def test_projects_are_forgotten_by_what_their_last_builds_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "LARGEST", 250)
    projects = [Path(f"/p/{number}") for number in range(4)]
    folders = []
    for project in projects:
        with within_bounds(tmp_path, project):
            folders.append(project_cache(tmp_path, project, "zig"))
            (folders[-1] / "objects").write_bytes(b"x" * 100)
    for folder, hours in zip(folders, (5, 3, 4, 0.5), strict=True):
        os.utime(folder.parent, (time.time() - hours * 3600,) * 2)
    forget_old_projects(tmp_path)
    assert [folder.exists() for folder in folders] == [False, True, False, True]
    with within_bounds(tmp_path, Path("/p/none")):
        pass  # nothing was built: no folder appears for it
    assert len(list((tmp_path / "projects").iterdir())) == 2


def test_what_may_be_at_work_stays_however_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "LARGEST", 10)
    with within_bounds(tmp_path, tmp_path):
        folder = project_cache(tmp_path, tmp_path, "zig")
        (folder / "objects").write_bytes(b"x" * 100)
    forget_old_projects(tmp_path)
    assert folder.exists()


def test_who_waits_for_the_cxx_library_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_compile_empty", lambda *_, **__: None)
    said: list[str] = []
    for _ in range(2):
        compiler.warm_up(
            tmp_path / "zig", tmp_path, Policy((2, 5)), "x86_64", cxx=True, say=said.append
        )
    assert said == ["compiling zig's C++ library for manylinux1 on x86_64, once"]


def test_what_zig_makes_ahead_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that begins meanwhile would take a list without its files, or the other way round."""
    seen: list[list[Path]] = []

    def make(_compiler: Path, place: Path, _target: str, *, cxx: bool) -> None:
        for folder in ("b", "h", "o"):
            (place / folder).mkdir()
            (place / folder / str(cxx)).touch()
        seen.append(list(warm_folder(tmp_path).glob("*/h")))
        if len(seen) == 1:
            raise subprocess.CalledProcessError(1, "zig")

    monkeypatch.setattr(compiler, "_compile_empty", make)
    for _ in range(3):
        compiler.warm_up(tmp_path / "zig", tmp_path, Policy((2, 5)), "x86_64")
    assert seen == [[], []]
    (made,) = warm_folder(tmp_path).glob("*/h")
    assert made.parent.name == "x86_64-linux-gnu.2.5-c"


def test_a_file_that_a_killed_build_cut_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    """zig believes the list; the file of the killed build has no list of its own."""
    warm, cache = tmp_path / "warm", tmp_path / "cache"
    made = {
        "b": "made",
        "h/list.txt": "whole: o/1/libc.so",
        "o/1/libc.so": "whole",
        "o/2/crt1.o": "crt",
    }
    for name, content in made.items():
        place = warm / "x86_64-linux-gnu.2.5-c" / (f"{name}/x" if name == "b" else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    own = {"o/1/libc.so": "wh", "o/2/crt1.o": "crt", "o/3/main.o": "the project's", "h/own.txt": "own"}
    for name, content in own.items():
        place = cache / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    for _ in range(2):
        _fill(warm, cache)
    found = {str(path.relative_to(cache)): path for path in cache.rglob("*") if not path.is_dir()}
    assert {name: path.read_text() for name, path in found.items()} == {
        "b/x": "made",
        "h/list.txt": "whole: o/1/libc.so",
        "h/own.txt": "own",
        "o/1/libc.so": "whole",
        "o/2/crt1.o": "crt",
        "o/3/main.o": "the project's",
    }
    assert [name for name, path in found.items() if path.is_symlink()] == ["o/1/libc.so"]


def _fill(warm: Path, cache: Path) -> None:
    script = Path(compiler.__file__).parent / "inside" / "warm_cache.sh"
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache)}
    subprocess.run(["sh", str(script), str(warm)], env=environment, check=True)
