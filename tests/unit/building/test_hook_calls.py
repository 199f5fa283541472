"""inside/build_hooks.py, as a program."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest

from pytest_manylinux.building import inside
from pytest_manylinux.building.inside import build_hooks

PROGRAM = Path(inside.__file__).with_name("build_hooks.py")
BACK_END = """
import os, sys

class hooks:
    @staticmethod
    def get_requires_for_build_wheel(config_settings=None):
        return {wanted!r}

    class inner:
        @staticmethod
        def build_wheel(folder, config_settings=None, metadata_directory=None):
            assert (config_settings, metadata_directory) == (None, None)
            open(os.path.join(folder, "demo.whl"), "w").close()
            return "demo.whl"
"""


def call(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROGRAM), words[0], sys.executable, *words[1:]]
    return subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/maker.py").write_text(BACK_END.format(wanted=["wheel", "numpy>=2"]))
    (tmp_path / "tools/modest.py").write_text(BACK_END.format(wanted=[]))
    return tmp_path


def test_what_the_back_end_still_wants(project: Path) -> None:
    done = call(project, "requires", "maker:hooks", "list", "tools")
    assert (done.returncode, done.stderr) == (build_hooks.ASKS_FOR_MORE, "")
    assert (project / "list").read_text() == "wheel\nnumpy>=2\n"


@pytest.mark.parametrize("back_end", ["modest:hooks", "maker:hooks.inner"])
def test_a_back_end_that_wants_nothing_or_has_no_such_hook(project: Path, back_end: str) -> None:
    assert call(project, "requires", back_end, "list", "tools").returncode == 0
    assert not (project / "list").exists()


def test_the_wheel_is_made_in_a_new_folder(project: Path) -> None:
    assert call(project, "wheel", "maker:hooks.inner", "a/b", "tools").returncode == 0
    assert (project / "a/b/demo.whl").exists()


def test_a_back_end_without_the_hook_and_one_that_is_not_there(project: Path) -> None:
    without = call(project, "wheel", "maker:hooks", "out", "tools")
    assert without.returncode == 1
    assert "AttributeError" in without.stderr
    assert "build_wheel" in without.stderr
    gone = call(project, "wheel", "nowhere:hooks", "out")
    assert gone.returncode == 1
    assert "No module named 'nowhere'" in gone.stderr
    assert gone.stderr.endswith("\nERROR: Cannot import 'nowhere'\n")
    elsewhere = call(project, "wheel", "nowhere", "out", "tools")
    assert "\nERROR: Cannot find module 'nowhere' in [" in elsewhere.stderr


def test_a_back_end_that_a_signal_ended_or_that_lies_elsewhere(project: Path) -> None:
    (project / "tools/killed.py").write_text("import os\nos.kill(os.getpid(), 9)")
    assert call(project, "wheel", "killed", "out", "tools").returncode == -9
    outside = call(project, "wheel", "maker", "out", "../tools")
    assert outside.returncode == 1
    assert outside.stderr == "ERROR: backend-path: paths must be inside source tree\n"


def test_our_own_folder_is_out_of_the_back_ends_sight(project: Path) -> None:
    (project / "tools/peeking.py").write_text("import build_agent")
    assert "No module named 'build_agent'" in call(project, "wheel", "peeking", "out", "tools").stderr


def test_what_is_installed_is_what_importlib_says() -> None:
    folder = sysconfig.get_path("purelib")
    known = {f"{item.metadata['Name']}=={item.version}" for item in distributions(path=[folder])}
    assert set(build_hooks.installed(folder)) == known


def test_metadata_that_says_less(tmp_path: Path) -> None:
    for name, text in {
        "whole-1.dist-info/METADATA": "Metadata-Version: 2.1\nVersion: 1\nName: Whole\n\nText: here\n",
        "old.egg-info/PKG-INFO": "Name: old\n  continued\nVersion: 2\n",
        "half-1.dist-info/METADATA": "Name: half\n\nVersion: 1\n",
        "other/METADATA": "Name: other\nVersion: 1\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    (tmp_path / "empty-1.dist-info").mkdir()
    assert build_hooks.installed(str(tmp_path)) == ["old==2", "Whole==1"]
