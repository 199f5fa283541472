"""`pytest-manylinux init`: what it finds, and that it changes nothing that is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from collecting import make_project

from pytest_manylinux.cli import main
from pytest_manylinux.commands.init_command import CI_FILES
from pytest_manylinux.config.merge import file_layer, flag_layer, merge
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.toml import parse_toml

CIBUILDWHEEL = """
[tool.cibuildwheel]
build = "cp3{11,12}-*"
skip = ["*-musllinux_*", "pp*"]
before-all = "yum install -y libffi-devel"
[tool.cibuildwheel.linux]
archs = ["x86_64", "nonsense"]
test-command = "pytest {project}/tests"
manylinux-x86_64-image = "manylinux2014"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_of_patterns(text: str) -> tuple[str, ...]:
    return merge([flag_layer({"manylinux_build": text})]).build


def settings() -> Settings:
    return merge([file_layer(Path("pyproject.toml"), shown="pyproject.toml")])


def text() -> str:
    return Path("pyproject.toml").read_bytes().decode()


def test_the_table_is_added_and_what_was_there_stays(tmp_path: Path) -> None:
    make_project(tmp_path, CIBUILDWHEEL.rstrip("\n"))
    before = text()
    assert main(["init"]) == ExitCode.OK
    assert text().startswith(before + "\n")
    found = settings()
    assert found.test_command == ("cibuildwheel",)
    assert found.build == settings_of_patterns("cp3{11,12}-*")
    assert found.skip == ("*-musllinux_*", "pp*")
    assert list(map(str, found.policy)) == ["manylinux2014"]
    added = text().removeprefix(before)
    assert "# built by setuptools.build_meta" in added
    assert "requires-python '>=3.9'" in added
    assert "# [tool.cibuildwheel] is not taken here" in added
    assert "has before-all" in added


def test_line_breaks_are_those_of_the_file(tmp_path: Path) -> None:
    make_project(tmp_path)
    Path("pyproject.toml").write_bytes(text().replace("\n", "\r\n").encode())
    assert main(["init"]) == ExitCode.OK
    assert text().count("\n") == text().count("\r\n")


def test_a_project_of_setup_py_alone_gets_a_file_and_keeps_its_build_system(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(name='x')\n")
    assert main(["init"]) == ExitCode.OK
    assert list(parse_toml(text())) == ["tool"]


def test_the_projects_of_a_monorepo_are_named(tmp_path: Path) -> None:
    for name in ("packages/a", "packages/b", "cli"):
        make_project(tmp_path / name)
    assert main(["init"]) == ExitCode.OK
    assert settings().packages == ("cli", "packages/*")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[tool.pytest-manylinux]\n", "has [tool.pytest-manylinux] already"),
        ("[build-system\n", "cannot be read"),
        ("build-system = {requires = []}\ntool = {black = {}}\n", "cannot be added to at its end"),
    ],
)
def test_what_it_cannot_add_to_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    assert main(["init", "--ci", "github"]) == ExitCode.USAGE
    assert words in capsys.readouterr().err
    assert text() == content
    assert not Path(".github").exists()


def test_a_line_break_in_a_name_adds_no_setting(tmp_path: Path) -> None:
    make_project(tmp_path)
    for word in (r"setuptools.build_meta\njobs = 7 #", r"mesonpy\rjobs = 7 #", r"a\u2028jobs = 7 #"):
        file = tmp_path / "pyproject.toml"
        file.write_text(f'[build-system]\nrequires = []\nbuild-backend = "{word}"\n')
        assert main(["init"]) == ExitCode.OK
        assert settings().jobs == 0


def test_a_pipe_in_the_tables_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert main(["init"]) == ExitCode.USAGE


def test_a_folder_without_a_project_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == ExitCode.USAGE
    assert "is not a project" in capsys.readouterr().err
    assert not Path("pyproject.toml").exists()


@pytest.mark.parametrize("name", sorted(CI_FILES))
def test_a_ci_file_fits_its_schema_and_overwrites_none(tmp_path: Path, name: str) -> None:
    make_project(tmp_path)
    before = text()
    path = CI_FILES[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine\n")
    assert main(["init", "--ci", name]) == ExitCode.USAGE
    assert (path.read_text(), text()) == ("mine\n", before)
    path.unlink()
    assert main(["init", "--ci", name]) == ExitCode.OK
    schema = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[name]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_printing_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_project(tmp_path)
    before = text()
    assert main(["init", "--ci", "gitlab", "--print"]) == ExitCode.OK
    assert text() == before
    assert not Path(".gitlab-ci.yml").exists()
    assert "[tool.pytest-manylinux]" in capsys.readouterr().out
