"""plan as a command: a real release's wheels by their names, shares, reasons and exit codes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode

LISTED = Path(__file__).parents[2] / "data" / "uv-pythons.json"
"""What uv 0.13.9 lists for Linux with glibc: the newest of each Python, and the newest PyPy 7.3."""
RELEASES = Path(__file__).parents[2] / "data" / "release-wheels.txt"
SOUND = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
MUSL = "demo-1.0-cp311-cp311-musllinux_1_2_x86_64.whl"
MAC = "demo-1.0-cp311-cp311-macosx_11_0_arm64.whl"
ON = ("--distros", "embedded", "--archs", "all")

Plan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["plan", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)["wheels"]
    return found


def test_each_wheel_of_25_releases_has_a_target_or_a_reason(plan: Plan) -> None:
    code, out, _ = plan("--names", str(RELEASES), *ON, "--json")
    found = rows(out)
    assert (code, len(found)) == (ExitCode.OK, 1283)
    assert all(bool(row["targets"]) is not bool(row["reason"]) for row in found)
    assert Counter(row["platform"] for row in found) == {"manylinux": 784, "musllinux": 499}
    archs = {row["architecture"] for row in found if row["targets"]}
    assert archs >= {"x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64"}
    own = [row for row in found if row["interpreter"] == "cp313" and row["platform"] == "manylinux"]
    assert own
    assert all(row["targets"] for row in own), "debian-13 has cp313 on all of these architectures"


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program uv that lists what the real one does, and fetches nothing."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$2" = list ] && exec cat {LISTED}\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_MANYLINUX_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("uv")
@pytest.mark.parametrize(("others", "planned"), [("none", 423), ("standalone", 759), ("any", 775)])
def test_pythons_that_no_distro_packages_are_counted(plan: Plan, others: str, planned: int) -> None:
    _, out, _ = plan("--names", str(RELEASES), *ON, f"--other-pythons={others}", "--json")
    found = [row for row in rows(out) if row["platform"] == "manylinux"]
    assert sum(bool(row["targets"]) for row in found) == planned
    left = Counter(row["interpreter"] for row in found if not row["targets"])
    if others == "any":
        # No PyPy has pypy312_pp73; the two others are programs for armv6l.
        assert left == {"pp312": 7, "py3": 2}
        assert {origin for row in found for origin in row["pythons"]} == {
            "distro",
            "standalone",
            "source",
        }


@pytest.mark.usefixtures("uv")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "demo-1.0-graalpy311-graalpy241_311_native-manylinux_2_28_x86_64.whl",
            "GraalPy 3.11 has graalpy242_311_native",
        ),
        (
            "demo-1.0-graalpy312-graalpy250_312_native-manylinux_2_28_i686.whl",
            "uv has no GraalPy 3.12 for i686",
        ),
        ("demo-1.0-pp312-pypy312_pp73-manylinux_2_28_x86_64.whl", "PyPy 3.12 has pypy312_pp80"),
        (
            "demo-1.0-cp35-cp35m-manylinux_2_28_i686.whl",
            "uv has no Python 3.5 for i686, and it cannot",
        ),
    ],
)
def test_what_no_python_takes_is_told(plan: Plan, name: str, why: str) -> None:
    _, out, _ = plan(name, *ON, "--other-pythons=any")
    assert why in out
    assert "use other-pythons" not in out, "it is used"


@pytest.mark.usefixtures("uv")
def test_how_many_want_a_python_of_elsewhere_is_told(plan: Plan) -> None:
    names = (SOUND, SOUND.replace("311", "310"), "demo-1.0-cp314-cp314t-manylinux_2_17_i686.whl")
    code, out, _ = plan(*names, *ON, "--other-pythons=any")
    assert code == ExitCode.OK
    lines = [line.split()[:5] for line in out.splitlines()]
    assert ["1", "of", "them", "on", "standalone"] in lines
    assert ["1", "of", "them", "on", "Pythons"] in lines


def test_what_is_printed_has_shares_by_architecture_and_interpreter(plan: Plan) -> None:
    _, out, _ = plan("--names", str(RELEASES), *ON)
    lines = out.splitlines()
    assert lines[0].startswith("Planned for debian-11, ")
    assert "of 1,283 wheels" in lines[1]
    assert "25 projects" in lines[1]
    row = next(line for line in lines if line.startswith("x86_64 "))
    assert row.split()[2:4] == ["of", "210"]
    row = next(line for line in lines if line.startswith("cp313 "))
    assert row.split()[:5] == ["cp313", "83", "of", "83", "100"]


def test_few_names_are_told_each_with_targets_and_reasons(plan: Plan) -> None:
    code, out, _ = plan(SOUND, MUSL, MAC, *ON, "--verbose")
    assert code == ExitCode.OK
    assert f"{SOUND}: debian-12-cp311-x86_64" in out.splitlines()
    assert f"{MUSL}: no target" in out.splitlines()
    assert "1: it is for macOS, not for Linux" in out


def test_names_come_from_addresses_folders_and_standard_input(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / SOUND).touch()
    (tmp_path / "dist" / "demo-1.0.tar.gz").touch()
    monkeypatch.setattr(
        "sys.stdin.read", lambda: f"# a comment\n\n{MUSL}\ndemo-1.0.tar.gz\n", raising=False
    )
    address = f"https://files.example.org/aa/{MAC}#sha256=00"
    code, out, err = plan("dist", address, f"dist/{SOUND}", "--names", "-", *ON, "--json")
    assert code == ExitCode.OK, err
    assert [row["file"] for row in rows(out)] == [SOUND, MAC, MUSL], "each once, without the sdist"


def test_coverage_decides_the_exit_code(plan: Plan) -> None:
    assert plan(SOUND, MUSL, *ON, "--require-coverage=50")[0] == ExitCode.OK
    assert plan(SOUND, MUSL, *ON, "--require-coverage=51")[0] == ExitCode.NOT_PROVEN
    assert plan(MUSL, *ON)[0] == ExitCode.NOT_PROVEN, "nothing has a target"


def test_settings_are_those_of_the_folder(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest-manylinux]\ndistros = ["debian-12"]\narchs = ["native"]\npython = ["cp39"]\n'
    )
    code, out, _ = plan(SOUND)
    assert code == ExitCode.NOT_PROVEN
    assert out.startswith("Planned for debian-12\n")
    assert "it is for cp311, which the setting `python` leaves out" in out
    assert plan(SOUND, "--python", "cp311")[0] == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no wheels are named"),
        (("demo-1.0.tar.gz",), "neither a wheel's name nor a folder"),
        (("--names", "missing.txt"), "missing.txt cannot be read"),
        (("--names", "bad.txt"), "bad.txt, line 2: 'what is this' is not a wheel's name"),
        ((SOUND, "--require-coverage=101"), "give a percentage from 0 to 100"),
        ((SOUND, "--archs=sparc"), "there is no architecture 'sparc'"),
        (("empty",), "no wheel there"),
    ],
)
def test_mistakes_get_one_message(
    plan: Plan, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text(f"{SOUND}\nwhat is this\n")
    code, out, err = plan(*words)
    assert (code, out) == (ExitCode.USAGE, "")
    assert said in err


def test_a_name_that_is_not_a_wheels_is_told_as_that(plan: Plan) -> None:
    code, out, _ = plan("demo.whl", *ON)
    assert code == ExitCode.NOT_PROVEN
    assert "its name is not that of a wheel" in out
