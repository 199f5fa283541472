"""A wheel that fails by turns, on real roots: its bytes stay the same, and what it meets does not.

The one thing of the host that such a wheel sees and a test can change is the date of its own file,
which is mounted into every trial.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_daemons import engine_running
from wheels import build_wheel
from whole_runs import seed

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Outcome, Tries, Verdict
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

EVEN, ODD = 1_000_000_000, 1_000_000_001  # seconds; a wheel of an odd second fails
CODE = """
import os
for folder, _, names in os.walk("/tmp"):
    for name in names:
        if name.startswith("demo-") and name.endswith(".whl"):
            if int(os.stat(os.path.join(folder, name)).st_mtime) % 2:
                raise RuntimeError("an odd second")
            found = True
assert found
"""
# Sets the wheel's date before each try: the second, fourth, … fail.
BY_TURNS = """
import os
from itertools import count
from pytest_manylinux import workspace

numbers, run_trial = count(), workspace.run_trial

def dated(request, *arguments):
    os.utime(request.wheel.path, (1_000_000_000, 1_000_000_000 + next(numbers)))
    return run_trial(request, *arguments)

workspace.run_trial = dated
"""


@pytest.fixture(params=["bubblewrap", "docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param != "bubblewrap":
            stack.enter_context(engine_running(request.param, shared=True))
        yield request.param


class Runs:
    """Runs over one wheel, on a cache that has this machine's roots and remembers nothing yet."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self.options = (f"--manylinux-engine={engine}", "--manylinux-image-source=archive")
        self.words = ""
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "by_turns.py").write_text(BY_TURNS)
        self.wheel = build_wheel(folder / "dist", {"demo.py": CODE}, name="demo")
        cache = folder / "cache"
        seed(cache)
        self.environment = {
            **os.environ,
            "PYTEST_MANYLINUX_CACHE": str(cache),
            "PYTHONPATH": str(folder),
        }

    def run(self, second: int, *arguments: str) -> int:
        os.utime(self.wheel, (second, second))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "dist"]
        command += ["--manylinux-distros=debian-12", "--manylinux-proof=proof.json", "-v"]
        done = subprocess.run(
            [*command, *self.options, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.words = done.stdout + done.stderr
        assert "INTERNALERROR" not in self.words, self.words
        return done.returncode

    def verdict(self) -> Verdict:
        (found,) = (
            one
            for one in read_proof(self.folder / "proof.json").record.verdicts
            if one.subject != "audit"
        )
        return found


@pytest.fixture
def runs(tmp_path: Path, engine: str) -> Runs:
    return Runs(tmp_path, engine)


@pytest.mark.attack("forgery")
def test_a_pass_over_a_failure_is_never_silent(runs: Runs) -> None:
    assert runs.run(ODD) == ExitCode.NOT_PORTABLE, runs.words
    assert [finding.name for finding in runs.verdict().findings] == ["import-error"]
    assert runs.run(EVEN) == ExitCode.NOT_PORTABLE, runs.words
    assert "flaky: passed now, failed 1 of 2 times" in runs.words
    assert runs.run(EVEN) == ExitCode.NOT_PORTABLE, runs.words
    assert "flaky: passed now, failed 1 of 3 times" in runs.words
    command = Path(sys.executable).with_name("pytest-manylinux")
    forget = [str(command), "cache", "forget", str(runs.wheel)]
    subprocess.run(forget, env=runs.environment, check=True)
    assert runs.run(EVEN) == ExitCode.OK, runs.words
    assert runs.run(ODD) == ExitCode.OK, runs.words
    assert "PASSED (remembered)" in runs.words


@pytest.mark.attack("forgery")
def test_one_failing_try_of_many_decides(runs: Runs) -> None:
    repeat = ("-p", "by_turns", "--manylinux-repeat=5")
    assert runs.run(EVEN, *repeat) == ExitCode.NOT_PORTABLE, runs.words
    verdict = runs.verdict()
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert verdict.tries == Tries(count=5, failed=2, known=5, known_failed=2)
    assert "import demo: RuntimeError: an odd second" in runs.words
    assert "flaky: failed 2 of 5 tries" in runs.words
