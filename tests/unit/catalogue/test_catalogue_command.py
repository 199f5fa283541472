from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def _ids(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["catalogue", *words, "--json"]) == ExitCode.OK
    return [row["id"] for row in json.loads(capsys.readouterr().out)["distros"]]


def test_everything_is_listed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "debian-12" in out
    assert "opensuse-tumbleweed" in out
    assert "3.11 (23.0.1)*" in out


@pytest.mark.parametrize(
    ("flag", "word", "hint"), [("--family", "ubunto", "'ubuntu'"), ("--arch", "arch64", "'aarch64'")]
)
def test_a_filter_that_nothing_can_pass_is_a_usage_error(
    flag: str, word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalogue", flag, word]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert f"{flag}: no distro of the catalogue has {word!r}" in err
    assert hint in err


def test_filters_narrow_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(_ids(capsys, "--family", "opensuse")) == {
        *("opensuse-leap-15.5", "opensuse-leap-15.6", "opensuse-leap-16.0"),
        "opensuse-tumbleweed",
    }
    assert "almalinux-8" not in _ids(capsys, "--policy", "manylinux_2_34")
    assert "almalinux-9" in _ids(capsys, "--policy", "manylinux_2_34")
    assert "almalinux-8" in _ids(capsys, "--python", "cp312")
    assert "debian-12" not in _ids(capsys, "--arch", "riscv64")
    assert _ids(capsys, "list", "embedded") == [
        *("debian-11", "debian-12", "debian-13", "debian-testing"),
    ]


def test_the_age_of_the_figures_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    checked = str(load_catalogue().checked)
    assert main(["catalogue", "list", "debian-12"]) == ExitCode.OK
    assert re.search(
        rf"^figures held against their sources on {checked}, \d+ days ago",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    assert main(["catalogue", "list", "debian-12", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["checked"] == checked


def test_what_images_exist_for_and_what_the_archive_has_are_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["catalogue", "list", "debian-12", "fedora-44", "--json"]) == ExitCode.OK
    debian, fedora = json.loads(capsys.readouterr().out)["distros"]
    assert {*debian["archive_architectures"]} - {*debian["image_architectures"]} == {"s390x"}
    assert fedora["image_architectures"] == fedora["architectures"]
    assert fedora["archive_architectures"] == []


def test_a_projects_own_rows_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = '[[tool.pytest-manylinux.distro]]\nid = "acme-1"\nlike = "debian-12"\n'
    (tmp_path / "pyproject.toml").write_text(row)
    assert _ids(capsys, "list", "acme-1") == ["acme-1"]


def test_without_a_terminal_a_distro_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS")
    assert main(["catalogue", "list", "almalinux-8", "debian-12"]) == ExitCode.OK
    _, *rows, _, _, _ = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["almalinux-8", "debian-12"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "debain-12"], "perhaps you meant 'debian-12'"),
        (["--policy", "manylinux3"], "not a policy"),
        (["--python", "py"], "not a Python version"),
    ],
)
def test_a_mistake_is_a_usage_error(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalogue", *words]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
