"""Standalone Pythons: which of uv's list is taken, what is kept, and what is told where none comes.

uv is a stand-in with uv's own forms of list, folder and error (0.13.9); the real one serves loopback in
tests/integration/test_other_pythons.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError
from pytest_manylinux.model.distro import InterpreterOrigin
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.pythons.standalone import StandalonePythons

UV = """#!/bin/sh
echo "$@" >> {log}
case "$2" in
  list) cat {list} ;;
  install)
    for key; do :; done
    {broken}
    mkdir -p "$4/$key/bin" "$4/$key/lib/pkgconfig"
    case "$key" in *{free}*) mkdir "$4/$key/lib/python3.14t" ;; esac
    echo python > "$4/$key/bin/{program}"
    echo "prefix=$4/$key" > "$4/$key/lib/pkgconfig/python3.pc" ;;
esac
"""
DOWN = """echo "error: Failed to install $key" >&2
echo "  cause: Failed to download" >&2; echo "  cause: dns error" >&2; exit 1"""


def entry(
    version: str,
    *,
    arch: str = "x86_64",
    libc: str = "gnu",
    variant: str = "default",
    implementation: str = "cpython",
    system: str = "linux",
    url: str = "https://example.invalid/python.tar.gz",
) -> dict[str, str]:
    key = f"{implementation}-{version}{'+freethreaded' * (variant != 'default')}-{system}-{arch}-{libc}"
    return {
        "key": key,
        "version": version,
        "os": system,
        "variant": variant,
        "implementation": implementation,
        "arch": arch,
        "libc": libc,
        "url": url,
    }


LISTED = (
    entry("3.12.9"),
    entry("3.12.16"),
    entry("3.12.99", libc="musl"),
    entry("3.12.99", system="macos"),
    entry("3.12.99", arch="aarch64"),
    entry("3.15.0rc1"),
    entry("3.14.2", variant="freethreaded"),
    entry("3.14.10", variant="freethreaded"),
    entry("3.14.10"),
    entry("3.12.3", arch="armv7", libc="gnueabi"),
    entry("3.12.2", arch="armv7", libc="gnueabihf"),
    entry("3.11.17", implementation="pypy", url="https://example.invalid/pypy3.11-v8.0.1.tar.gz"),
    entry("3.11.15", implementation="pypy", url="https://example.invalid/pypy3.11-v7.3.23.tar.gz"),
    entry("3.12.15", implementation="pypy", url="https://example.invalid/pypy3.12-v8.0.1.tar.gz"),
    entry("3.12.0", implementation="graalpy"),
    entry("3.11.0", implementation="graalpy", arch="aarch64"),
)


class Machine:
    """A machine with a stand-in for uv, and a cache folder."""

    def __init__(
        self, folder: Path, *, down: bool = False, program: str = "python3", free: str = "freethreaded"
    ) -> None:
        self.folder, self.said = folder, list[str]()
        (folder / "list.json").write_text(json.dumps(LISTED))
        self.log = folder / "log"
        text = UV.format(
            log=self.log,
            list=folder / "list.json",
            broken=DOWN if down else "",
            program=program,
            free=free,
        )
        (folder / "uv").write_text(text)
        (folder / "uv").chmod(0o755)
        self.pythons = self.another()

    def another(self) -> StandalonePythons:
        uv = self.folder / "uv"
        return StandalonePythons(self.folder / "cache", say=self.said.append, uv=lambda: uv)

    @property
    def installed(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[-1] for line in lines if line.startswith("python install")]


@pytest.mark.parametrize(
    ("python", "arch", "key"),
    [
        ("cp312", "x86_64", "cpython-3.12.16-linux-x86_64-gnu"),
        ("cp312", "aarch64", "cpython-3.12.99-linux-aarch64-gnu"),
        ("cp312", "armv7l", "cpython-3.12.2-linux-armv7-gnueabihf"),
        ("cp315", "x86_64", "cpython-3.15.0rc1-linux-x86_64-gnu"),
        ("cp314t", "x86_64", "cpython-3.14.10+freethreaded-linux-x86_64-gnu"),
        ("cp314", "x86_64", "cpython-3.14.10-linux-x86_64-gnu"),
        ("pp311", "x86_64", "pypy-3.11.15-linux-x86_64-gnu"),
        ("pp312", "x86_64", "pypy-3.12.15-linux-x86_64-gnu"),
        ("gp312_250", "x86_64", "graalpy-3.12.0-linux-x86_64-gnu"),
        ("graalpy3.11", "aarch64", "graalpy-3.11.0-linux-aarch64-gnu"),
    ],
)
def test_the_newest_release_that_fits_is_taken(
    tmp_path: Path, python: str, arch: str, key: str
) -> None:
    machine = Machine(tmp_path)
    found = machine.pythons.provide(parse_python(python), arch)
    assert machine.installed == [key]
    assert (found.origin, found.source) == (InterpreterOrigin.STANDALONE, key)
    assert found.title.endswith(", standalone")
    assert found.release in key


def test_it_is_kept_with_its_own_prefix_and_program(tmp_path: Path) -> None:
    machine = Machine(tmp_path, program="python3.12")
    first = machine.pythons.provide(parse_python("cp312"), "x86_64")
    again = machine.another().provide(parse_python("cp312"), "x86_64")
    assert first == again
    assert len(machine.installed) == len(machine.said) == 1
    prefix = Path(first.folder)
    assert (prefix / "bin/python3").read_text() == "python\n"
    assert (prefix / "lib/pkgconfig/python3.pc").read_text() == "prefix=/opt/python/cp312\n"


@pytest.mark.parametrize(
    ("python", "free", "why"),
    [
        ("cp314t", "none", "it has no folder lib/python3.14t"),
        ("cp314", "cpython", "it has a folder lib/python3.14t"),
    ],
)
def test_a_python_of_the_other_kind_is_not_taken(
    tmp_path: Path, python: str, free: str, why: str
) -> None:
    with pytest.raises(ImageError, match=why):
        Machine(tmp_path, free=free).pythons.provide(parse_python(python), "x86_64")


def test_what_is_only_listed_is_not_fetched(tmp_path: Path) -> None:
    machine = Machine(tmp_path, down=True)
    uv = tmp_path / "uv"
    listed = StandalonePythons(tmp_path / "cache", say=print, uv=lambda: uv, only_listed=True)
    assert listed.why_not(parse_python("cp312"), "x86_64") == ""
    assert "uv has no" in listed.why_not(parse_python("cp39"), "x86_64")
    assert machine.installed == []


@pytest.mark.parametrize(("python", "arch"), [("cp39", "x86_64"), ("cp312", "loongarch64")])
def test_what_uv_does_not_have_is_not_fetched(tmp_path: Path, python: str, arch: str) -> None:
    machine = Machine(tmp_path)
    assert "uv has no" in machine.pythons.why_not(parse_python(python), arch)
    assert machine.installed == []


def test_what_cannot_be_reached_is_asked_once_an_implementation(tmp_path: Path) -> None:
    machine = Machine(tmp_path, down=True)
    words = machine.pythons.why_not(parse_python("cp312"), "x86_64")
    assert "dns error" in words
    assert "UV_PYTHON_INSTALL_MIRROR" in words
    assert "other-pythons = source" in words
    assert machine.pythons.why_not(parse_python("cp314t"), "x86_64") == words
    assert "UV_PYPY_INSTALL_MIRROR" in machine.pythons.why_not(parse_python("pp311"), "x86_64")
    assert "UV_GRAALPY_INSTALL_MIRROR" in machine.pythons.why_not(parse_python("gp312"), "x86_64")
    assert len(machine.installed) == 3, "one of each implementation"


def test_the_first_that_comes_speaks_for_the_rest(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert [machine.pythons.why_not(parse_python(p), "x86_64") for p in ("cp312", "cp314t")] == ["", ""]
    assert machine.installed == ["cpython-3.12.16-linux-x86_64-gnu"], "others come when they are wanted"


def test_without_uv_the_next_step_is_told_but_what_is_kept_is_used(tmp_path: Path) -> None:
    Machine(tmp_path).pythons.provide(parse_python("cp312"), "x86_64")
    without = StandalonePythons(tmp_path / "cache", say=print, uv=lambda: None)
    assert without.why_not(parse_python("cp312"), "x86_64") == ""
    assert "pip install uv" in without.why_not(parse_python("cp314"), "x86_64")
    with pytest.raises(ImageError, match="uv, which is not installed"):
        without.provide(parse_python("cp314"), "x86_64")
