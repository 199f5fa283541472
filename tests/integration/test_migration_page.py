"""The page for people who come from cibuildwheel, as it is written: its project, and its commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.config.cibuildwheel import _KEYS
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/from-cibuildwheels-test-step.md").read_text("utf-8")
DISTROS = "debian-11,debian-13"  # the page names none
_TESTS = """\
import os

import c_extension


def test_distance():
    assert c_extension.distance("same", "some") == 1


def test_the_environment():
    assert os.environ["STRICT"] == "1"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def typed(line: str, folder: Path, *more: str) -> str:
    """What a line of the page prints; it has to end well."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTEST_MANYLINUX_DISTROS": DISTROS,
    }
    done = subprocess.run(
        [*line.removeprefix("$ ").split(), *more],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The page's project before, with a module and tests."""
    for name in ("setup.py", "c_extension.c"):
        shutil.copy(ROOT / "sample_projects/portable/c_extension" / name, tmp_path)
    (tmp_path / "pyproject.toml").write_text(blocks("toml")[0])
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_distance.py").write_text(_TESTS)
    return tmp_path


def test_each_command_does_what_the_page_says(project: Path) -> None:
    before, after = blocks("toml")
    commands = [line for block in blocks("console") for line in block.splitlines()]
    init, prove, collect, wheels = commands
    assert init == "$ pytest-manylinux init"
    typed(init, project)
    assert (project / "pyproject.toml").read_text() == f"{before}\n{after}"

    planned = typed(collect, project)
    assert re.findall(r"^\.::(\w+\[cp\d+)", planned, re.MULTILINE) == [
        f"{kind}[{python}" for python in ("cp39", "cp313") for kind in ("build", "audit", "trial")
    ]
    assert not (project / "wheelhouse").exists()

    for command in (prove, wheels):
        typed(command, project, "--manylinux-proof=proof.json")
        record = read_proof(project / "proof.json").record
        tests = {
            one.subject.partition("-x86_64")[0]: one.observation.tests
            for one in record.verdicts
            if one.observation
        }
        old, new = tests["debian-11-cp39"], tests["debian-13-cp313"]
        assert old
        assert old.skipped == "test-skip has 'cp39-*'"
        assert new
        assert new.ran == 2
        assert new.command.endswith("&& python -c 'import c_extension'")


def test_each_test_option_of_cibuildwheel_has_its_row() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named >= {*_KEYS, "build", "skip", "archs", "overrides"}
