"""The scripts that run suites: one after the other with sums, and one again and again."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
import repeat_suite
import suites
from suites import Outcome

PASSES = "def test_a(): pass\n"
MIXED = """
import pytest
@pytest.fixture
def broken(): 1 / 0
def test_a(): pass
def test_b(): assert False
def test_c(): pytest.skip("why")
def test_d(broken): pass
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)


def test_each_kind_is_counted(tmp_path: Path) -> None:
    (tmp_path / "test_mixed.py").write_text(MIXED)
    outcome = suites.run("mixed", ["-n", "0", "test_mixed.py"])
    assert outcome.counts == {"failed": 1, "passed": 1, "skipped": 1, "errors": 1}
    assert str(outcome) == "mixed           FAILED  1 failed, 1 passed, 1 skipped, 1 errors"


def test_a_failure_does_not_keep_later_suites_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(suite: str, arguments: list[str]) -> Outcome:
        asked.append(arguments)
        bad = suite == "conformance"
        counts = {"failed": int(bad), "passed": 10, "skipped": 0, "errors": 0}
        return Outcome(suite=suite, code=int(bad), counts=counts, seconds=1.5)

    monkeypatch.setattr(suites, "run", run)
    assert suites.main(["tests/integration/test_clocks.py"]) == 1
    assert asked[-1][-1] == "tests/integration/test_clocks.py"
    *rows, last = capsys.readouterr().out.strip().splitlines()
    assert [row.split()[-1] for row in rows] == ["passed"] * 3
    assert "conformance     FAILED  1 failed, 10 passed" in rows
    assert last.strip("= ") == "1 failed, 30 passed in 4.50s"


def test_a_suite_that_breaks_down_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import os\ndef pytest_sessionstart(): os._exit(3)\n")
    outcome = suites.run("broken", ["-n", "0"])
    assert outcome.code == 3
    assert str(outcome).endswith("not one test ended (exit code 3)")


@pytest.mark.parametrize(("program", "code"), [(PASSES, 0), (MIXED, 1)])
def test_a_suite_is_repeated_until_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, code: int
) -> None:
    (tmp_path / "test_it.py").write_text(program)
    monkeypatch.setattr(
        sys, "argv", ["repeat_suite.py", "2", "--nice", "19", "--", "-p", "no:cacheprovider", "."]
    )
    assert repeat_suite.main() == code
    assert multiprocessing.active_children() == []
    logs = sorted(path.name for path in Path("reports", "repeat").iterdir())
    assert logs == (["run-001.log"] if code else [])


def test_the_machine_is_busy_meanwhile() -> None:
    with repeat_suite.busy(19):
        works = multiprocessing.active_children()
        assert len(works) == len(os.sched_getaffinity(0)) + 1
        assert all(work.is_alive() for work in works)
    assert not any(work.is_alive() for work in works)
