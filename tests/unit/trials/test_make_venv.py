"""Seeding a venv from what the distro has compiled already; real distros: test_venvs.py."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
from pathlib import Path
from types import CodeType

import pytest
from wheels import build_wheel

from pytest_manylinux.trials.inside.make_venv import in_its_place, lent, link_equals

FILES = {"tool/__init__.py": "", "tool/deep/main.py": "def run():\n    return [lambda: 1]\n"}


@pytest.fixture
def distro(tmp_path: Path) -> Path:
    """A distro's folder of packages, compiled."""
    return _installed(tmp_path / "usr/lib/python3/dist-packages", FILES)


def _installed(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        py_compile.compile(str(place))
    return folder


@pytest.mark.parametrize("before", [["-Im"], ["-m"], ["-X", "utf8", "-m"]])
def test_only_the_start_of_ensurepip_is_ours(before: list[str]) -> None:
    started = in_its_place(["bin/python", *before, "ensurepip", "--upgrade", "--default-pip"])
    isolated = ["-I"] if before == ["-Im"] else before[:-1]
    assert started[: 1 + len(isolated)] == ["bin/python", *isolated]
    assert started[1 + len(isolated)].endswith("make_venv.py")
    assert started[-3:] == ["--", "--upgrade", "--default-pip"]
    other = ["bin/python", *before, "site"]
    assert in_its_place(other) == other


@pytest.mark.parametrize(
    ("change", "linked"),
    [
        ({}, ["tool"]),
        ({"tool/deep/main.py": "x = 1\n"}, []),
        ({"tool/more.py": ""}, []),
        ({"other/__init__.py": ""}, ["tool"]),
    ],
)
def test_a_package_is_the_distros_where_each_file_is(
    change: dict[str, str], linked: list[str], distro: Path, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path / "dist", FILES, name="tool")
    _installed(distro, change)
    (links := tmp_path / "links").mkdir()
    link_equals([str(wheel), str(tmp_path / "none.whl")], [str(distro)], str(links))
    assert [path.name for path in links.iterdir()] == linked
    assert all(path.resolve() == distro / path.name for path in links.iterdir())


def test_a_package_that_the_distro_has_not_whole_is_the_wheels(distro: Path, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "dist", FILES, name="tool")
    (distro / "tool/__init__.py").unlink()
    (links := tmp_path / "links").mkdir()
    link_equals([str(wheel)], [str(distro)], str(links))
    assert not list(links.iterdir())


def test_bytecode_is_that_of_the_new_place(distro: Path, tmp_path: Path) -> None:
    site = tmp_path / "venv/lib/python3/site-packages"
    source = site / "tool/deep/main.py"
    source.parent.mkdir(parents=True)
    source.write_text(FILES["tool/deep/main.py"])
    source.chmod(0o644)
    assert lent([str(tmp_path / "none"), str(distro)], str(source))
    compiled = Path(importlib.util.cache_from_source(str(source)))
    given = compiled.read_bytes()
    assert compiled.stat().st_mode & 0o777 == 0o644
    py_compile.compile(str(source), doraise=True)
    plain = compiled.read_bytes()
    assert given[:16] == plain[:16]
    ours, theirs = (marshal.loads(content[16:]) for content in (given, plain))  # noqa: S302 - our own
    assert ours == theirs
    assert _names(ours) == _names(theirs) == {str(source)}


def _names(code: CodeType) -> set[str]:
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return {code.co_filename}.union(*map(_names, inner))


@pytest.mark.parametrize("lack", ["another source", "not compiled", "compiled before", "elsewhere"])
def test_what_does_not_fit_is_compiled_as_ever(lack: str, distro: Path, tmp_path: Path) -> None:
    site = tmp_path / ("venv/lib/elsewhere" if lack == "elsewhere" else "venv/lib/site-packages")
    source = site / "tool/deep/main.py"
    source.parent.mkdir(parents=True)
    source.write_text("y = 2\n" if lack == "another source" else FILES["tool/deep/main.py"])
    there = distro / "tool/deep/main.py"
    compiled = Path(importlib.util.cache_from_source(str(there)))
    if lack == "not compiled":
        compiled.unlink()
    elif lack == "compiled before":
        compiled.write_bytes(compiled.read_bytes()[:8] + bytes(4) + compiled.read_bytes()[12:])
    assert not lent([str(distro)], str(source))
    assert not (source.parent / "__pycache__").exists()
