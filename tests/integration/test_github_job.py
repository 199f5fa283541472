"""The how-to's job for GitHub, its commands one after another, on wheels with cibuildwheel's names.

What GitHub's runner has and this machine may lack is left to the plan: official images, and uv's
Pythons. On roots of Debian the job is run to both its ends.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ci_pages import HOW_TO, blocks, scripts_of
from wheels import build_wheel
from zig_modules import CRASHES, SOUND, compile_module

from pytest_manylinux.building.compiler import fetch_compiler
from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.host.architecture import host_arch

pytestmark = pytest.mark.integration

PAGE = HOW_TO / "github-actions.md"
LISTED = Path(__file__).parents[1] / "data" / "uv-pythons.json"
# What cibuildwheel names wheels, of these builds on a runner of each of two architectures.
PYTHONS = (
    *("cp310-cp310", "cp311-cp311", "cp312-cp312", "cp313-cp313"),
    *("cp314-cp314", "cp314-cp314t", "cp315-cp315"),
)
PLATFORMS = ("manylinux2014_{0}.manylinux_2_17_{0}.manylinux_2_28_{0}", "musllinux_1_2_{0}")
ARCHS = ("x86_64", "aarch64")
# Here are roots of Debian alone: of these wheels they take cp311 and cp313, of both architectures.
OWN = """
[tool.pytest-manylinux]
distros = ["debian-12", "debian-13"]
engine = "bubblewrap"
image-source = "archive"
other-pythons = "none"

[tool.pytest-manylinux.gate]
require-coverage = {coverage}
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], bytes]:
    """A module for each architecture, and one for this machine's that crashes."""
    zig = fetch_compiler(cache_root() / "build", host_arch(), say=print) / "zig"
    folder = tmp_path_factory.mktemp("modules")
    sources = {"sound": SOUND, "crashes": CRASHES}
    return {
        (kind, arch): compile_module(zig, folder, source, arch)
        for kind, source in sources.items()
        for arch in ARCHS
    }


def add_release(folder: Path, modules: dict[tuple[str, str], bytes], crashes: str = "") -> None:
    """The wheels of one release in `dist`; the one with `crashes` in its name is bad."""
    for python in PYTHONS:
        for arch in ARCHS:
            for platform in PLATFORMS:
                tag = f"{python}-{platform.format(arch)}"
                libc = "musl" if "musl" in platform else "gnu"
                name = f"demo.cpython-{python.rpartition('cp')[2]}-{arch}-linux-{libc}.so"
                kind = "crashes" if crashes and crashes in tag else "sound"
                build_wheel(folder / "dist", {name: modules[kind, arch]}, tag=tag)
    (folder / "pytest.ini").write_text("[pytest]\n")


def job(name: str) -> list[str]:
    """What a job of the page runs, without what installs something on GitHub's runner."""
    steps = scripts_of(blocks(PAGE, "yaml")[0], name)
    return [one for one in steps if not one.startswith(("pip install", "sudo apt-get"))]


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A step as GitHub runs it: a shell that ends at the first error."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**kept, "PATH": path, "GITHUB_ACTIONS": "true", "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_says_what_of_the_release_can_be_tried(
    tmp_path: Path, modules: dict[tuple[str, str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release(tmp_path, modules)
    (settings,) = blocks(PAGE, "toml")
    (tmp_path / "pyproject.toml").write_text(settings)
    (coverage,) = re.findall(r"^require-coverage = (\d+)$", settings, re.MULTILINE)
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\n[ "$2" = list ] && exec cat {LISTED}\nexit 1\n')
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(uv.parent), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = run(tmp_path, f"pytest-manylinux plan dist/*.whl --require-coverage {coverage}")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "26 of 28 wheels (92 %) have a target" in done.stdout
    assert done.stdout.count("cp314t-musllinux") == len(ARCHS), "what is left, by its name"


@pytest.mark.emulated
@pytest.mark.parametrize("crashes", ["", "cp313-cp313-manylinux2014_x86_64"])
def test_the_job_ends_green_for_sound_wheels_and_red_for_a_bad_one(
    tmp_path: Path, modules: dict[tuple[str, str], bytes], crashes: str
) -> None:
    add_release(tmp_path, modules, crashes)
    (tmp_path / "pyproject.toml").write_text(OWN.format(coverage=14))
    (prove,), (gate,) = job("prove"), job("publish")
    done = run(tmp_path, prove)
    words = done.stdout + done.stderr
    assert done.returncode == (ExitCode.NOT_PORTABLE if crashes else ExitCode.OK), words
    for report in ("proof.json", "portability.html", "junit.xml"):
        assert (tmp_path / "reports" / report).is_file()
    opened = run(tmp_path, gate)
    words = opened.stdout + opened.stderr
    assert opened.returncode == (ExitCode.NOT_PORTABLE if crashes else ExitCode.OK), words
    assert f"{25 if crashes else 24} of 28 wheels of this release were not proven" in words
    shutil.copy(next(tmp_path.glob("dist/*.whl")), tmp_path / "dist" / "demo-2.0-py3-none-any.whl")
    assert run(tmp_path, gate).returncode != ExitCode.OK, "nothing is published that was not proven"
