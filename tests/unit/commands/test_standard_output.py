"""Standard output that takes nothing, or nothing more: what a command ends with then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_records import make_run
from wheels import build_wheel

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.proof import write_proof

_COMMAND = (sys.executable, "-c", "import sys; from pytest_manylinux.cli import main; sys.exit(main())")


@pytest.fixture
def broken() -> Iterator[int]:
    """The end for writing of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def unproven(tmp_path: Path) -> tuple[str, ...]:
    """The arguments of a gate that refuses: its proof knows no wheel."""
    wheel = build_wheel(tmp_path, {"demo.py": "x = 1\n"})
    write_proof(make_run([], []), tmp_path / "proof.json")
    return ("gate", str(wheel), "--proof", str(tmp_path / "proof.json"))


def _run(*words: str, stdout: int, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    return subprocess.run(
        [*_COMMAND, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("command", ["explain", "catalogue", "proof schema", "cache path"])
def test_a_full_disk_is_told_in_one_message(command: str, *, buffered: bool) -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run(*command.split(), stdout=full.fileno(), buffered=buffered)
    assert done.returncode == ExitCode.USAGE
    first, why, *_ = done.stderr.splitlines()
    assert first == "pytest-manylinux: standard output cannot be written"
    assert "No space left" in why
    assert "internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", [("explain",), ("catalogue",)])
def test_a_reader_that_goes_is_no_error(words: tuple[str, ...], broken: int, *, buffered: bool) -> None:
    done = _run(*words, stdout=broken, buffered=buffered)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")


@pytest.mark.parametrize("more", [(), ("--json",), ("--explain",)])
@pytest.mark.parametrize("buffered", [True, False])
def test_what_the_gate_refuses_stays_refused(
    unproven: tuple[str, ...], broken: int, more: tuple[str, ...], *, buffered: bool
) -> None:
    assert _run(*unproven, *more, stdout=broken, buffered=buffered).returncode == ExitCode.NOT_PROVEN


@pytest.mark.parametrize("buffered", [True, False])
def test_where_standard_error_takes_nothing_the_exit_code_counts(*, buffered: bool) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    with Path("/dev/full").open("wb") as full:
        command = [*_COMMAND, "explain", "nothing"]
        done = subprocess.run(command, stderr=full, env=environment, check=False)
    assert done.returncode == ExitCode.USAGE
