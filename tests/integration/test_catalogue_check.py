"""`catalogue check`: rows against live roots, and rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _check(capsys: pytest.CaptureFixture[str], *ids: str) -> tuple[int, str]:
    code = main(["catalogue", "check", "--engine", "bubblewrap", *ids])
    return code, capsys.readouterr().out


def test_rows_of_debian_are_as_their_roots(capsys: pytest.CaptureFixture[str]) -> None:
    code, words = _check(capsys, "debian-11", "debian-12", "debian-13")
    assert [line.partition(" (")[0] for line in words.splitlines()] == [
        "debian-11 3.9: as the row says",
        "debian-11 pp37: as the row says",
        "debian-12 3.11: as the row says",
        "debian-12 pp39: as the row says",
        "debian-13 3.13: as the row says",
        "debian-13 pp311: as the row says",
    ]
    assert code == ExitCode.OK


def test_what_a_row_has_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text("""
[[distro]]
id = "debian-12"
glibc = "2.35"
symbols = { GLIBC = "2.36", GLIBCXX = "3.4.31" }
absent = ["libz.so.1", "libGL.so.1"]

[[distro.interpreters]]
version = "3.12"
pip = "24.0"
packages = ["python3", "python3-pip", "python3-venv"]
""")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest-manylinux]\ncatalogue = "own.toml"\n')
    code, words = _check(capsys, "debian-12")
    assert [line.partition(" (")[0] for line in words.splitlines()] == [
        "debian-12 3.12: glibc: the row says 2.35, the image 2.36",
        "debian-12 3.12: GLIBCXX: the row says 3.4.31, the image 3.4.30",
        "debian-12 3.12: libz.so.1: the row says absent, the image present",
        "debian-12 3.12: python3: the row says 3.12, the image 3.11.2",
        "debian-12 3.12: python3's pip: the row says 24.0, the image 23.0.1",
    ]
    assert code == ExitCode.NOT_PORTABLE


def test_what_could_not_be_looked_at_is_no_agreement(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD", "http://127.0.0.1:9/debian")
    code, words = _check(capsys, "debian-10", "debian-12")
    assert "debian-10: not seen: debian-10 could not be made: the mirror is out of reach" in words
    assert "debian-12 3.11: as the row says" in words
    assert code == ExitCode.NOT_PROVEN
