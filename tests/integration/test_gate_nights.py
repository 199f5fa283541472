"""Two nights with real images: one wheel changed its bytes, one distro lost a library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import build_wheel

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.diff import load_history

pytestmark = pytest.mark.integration

# debian-12 with a library that it does not have by itself: another root, so another digest.
WITH_LIBYAML = """
[[tool.pytest-manylinux.distro]]
id = "debian-12"
interpreters = [{ version = "3.11", executable = "/usr/bin/python3", packages = [
  "python3", "python3-pip", "python3-venv", "libyaml-0-2",
] }]
"""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def night(folder: Path, distros: str) -> subprocess.CompletedProcess[str]:
    return run(
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir=.",
        "--manylinux",
        "dist",
        f"--manylinux-distros={distros}",
        "--manylinux-history=nights",
        "--manylinux-html=report.html",
        cwd=folder,
    )


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the history of two nights."""
    folder = tmp_path_factory.mktemp("nights")
    loads = "import ctypes\nctypes.CDLL('libyaml-0.so.2')\n"
    build_wheel(folder / "dist", {"loads.py": loads}, name="loads")
    build_wheel(folder / "dist", {"steady.py": "x = 1\n"}, name="steady")
    (folder / "pyproject.toml").write_text(WITH_LIBYAML)
    first = night(folder, "debian-12,debian-13")
    assert first.returncode == ExitCode.NOT_PORTABLE, first.stdout + first.stderr
    assert "debian-13" in first.stdout  # where libyaml never was

    (folder / "pyproject.toml").write_text("")
    build_wheel(folder / "dist", {"steady.py": "raise ImportError('changed')\n"}, name="steady")
    second = night(folder, "debian-12,debian-13")
    assert second.returncode == ExitCode.NOT_PORTABLE, second.stdout + second.stderr
    return folder


def test_diff_names_the_cause_of_each(nights: Path) -> None:
    old, new = sorted((nights / "nights").iterdir())
    program = Path(sys.executable).with_name("pytest-manylinux")
    done = run(program, "diff", old, new, "--json", cwd=nights)
    assert done.returncode == ExitCode.NOT_PORTABLE
    found = {
        (difference["wheel"].split("-")[0], difference["subject"].split("-cp")[0]): difference
        for difference in json.loads(done.stdout)
    }
    kinds = {cell: [cause["kind"] for cause in found[cell]["causes"]] for cell in found}
    asked = ["catalogue", "setting"]  # the first night's row of debian-12 was the project's own
    assert kinds == {
        ("loads", "debian-12"): ["image", *asked],
        ("steady", "debian-12"): ["wheel", "image", *asked],
        ("steady", "debian-13"): ["wheel", *asked],
    }
    assert {difference["change"] for difference in found.values()} == {"newly failing"}


def test_the_second_nights_page_shows_the_first(nights: Path) -> None:
    first, _ = load_history(nights / "nights").records
    assert first.verdicts
    page = (nights / "report.html").read_text()
    assert '"nights":"p"' in page  # one earlier night, portable
