"""The tutorial as it is written: its commands, from an empty folder to a page with failing distros."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_manylinux.errors import ExitCode

pytestmark = pytest.mark.integration

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/first-proof.md"
DISTROS = "debian-12,debian-13"  # the tutorial names none; two of them show the same as all
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is typed in each section of the tutorial, by the section's number."""

    typed: dict[int, tuple[str, ...]]


def commands(section: str) -> Iterator[str]:
    """What follows each `$ `, here-documents included."""
    for block in _BLOCK.findall(section):
        yield from re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def page() -> Page:
    parts = re.split(r"^## (\d)\. .*$", TUTORIAL.read_text("utf-8"), flags=re.MULTILINE)
    numbers, sections = map(int, parts[1::2]), parts[2::2]
    return Page(
        typed={number: (*commands(section),) for number, section in zip(numbers, sections, strict=True)}
    )


class Shell:
    """One shell after another, each in the folder that the last one ended in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTEST_MANYLINUX_DISTROS": DISTROS,
        }

    def type(self, command: str) -> tuple[int, str]:
        """The exit code, and what was printed."""
        done = subprocess.run(
            ["/bin/bash", "-c", f"{command}\ncode=$?; pwd > {self.folder}/../cwd; exit $code"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def test_each_command_does_what_the_tutorial_says(page: Page, tmp_path: Path) -> None:
    assert [line.split()[0] for line in page.typed[1]] == [
        "sudo",
        "python3",
        "~/proving/bin/pip",
        "export",
    ]
    shell = Shell(tmp_path)
    folder, *files = page.typed[2]
    assert folder == "mkdir hello && cd hello\n"
    assert shell.type(folder) == (0, "")
    shell.folder = tmp_path / "hello"
    assert [shell.type(command) for command in files] == [(0, "")] * 3

    [collect] = page.typed[3]
    code, words = shell.type(collect)
    assert code == 0, words
    for kind in ("build", "audit", "trial"):
        assert re.search(rf"{kind}\[.*manylinux_auto", words), words
    assert not (shell.folder / "wheelhouse").exists()

    [prove] = page.typed[4]
    code, words = shell.type(prove)
    assert code == 0, words
    wheels = sorted(path.name for path in (shell.folder / "wheelhouse").glob("*.whl"))
    assert [re.search("manylinux1_x86_64", name) is not None for name in wheels] == [True, True]

    change, remove, again, explain = page.typed[5]
    assert shell.type(change) == shell.type(remove) == (0, "")
    code, words = shell.type(again)
    assert code == ExitCode.NOT_PORTABLE, words
    assert "runtime-dlopen" in words
    shown = (shell.folder / "page.html").read_text("utf-8")
    assert all(name in shown for name in ("runtime-dlopen", *DISTROS.split(",")))
    code, words = shell.type(explain)
    assert code == 0
    assert "dlopen" in words
