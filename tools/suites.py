"""Run every test suite, the quick ones first, whatever becomes of the others; then sum up.

`python tools/suites.py [WORDS ...]`; the words go to pytest in place of `tests/integration`. The last
line has pytest's own form, with the sums of all suites. Exit code 0 if all passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET  # of files that pytest has written just now
from dataclasses import dataclass
from pathlib import Path

_INTERRUPTED = 2
_KINDS = ("failed", "passed", "skipped", "errors")
_WORKERS = len(os.sched_getaffinity(0)) + 2
_BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")  # conftest.py has the long files first


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a suite ended: pytest's exit code, how many tests of each kind, seconds."""

    suite: str
    code: int
    counts: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        words = _in_words(self.counts) or f"not one test ended (exit code {self.code})"
        return f"{self.suite:<16}{'ok' if self.code == 0 else 'FAILED':<8}{words}"


def main(words: list[str]) -> int:
    """Run them and tell; gives the exit code."""
    suites = {
        "unit, plugin": ["tests/unit", "tests/plugin"],
        "conformance": ["tests/conformance"],
        "integration": [*_BY_FILE, "--durations=20", *(words or ["tests/integration"])],
    }
    outcomes = []
    for name, arguments in suites.items():
        outcomes.append(run(name, arguments))
        if outcomes[-1].code == _INTERRUPTED:
            break
    print("\n" + "\n".join(map(str, outcomes)))
    total = {kind: sum(one.counts.get(kind, 0) for one in outcomes) for kind in _KINDS}
    print(f" {_in_words(total)} in {sum(one.seconds for one in outcomes):.2f}s ".center(80, "="))
    return next((one.code for one in outcomes if one.code), 0)


def run(suite: str, arguments: list[str]) -> Outcome:
    """Run pytest once, by more processes than there are cores: many tests wait for a daemon."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        words = ["-m", "pytest", "-n", str(_WORKERS), f"--junitxml={report}", *arguments]
        code = subprocess.run([sys.executable, *words], check=False).returncode
        counts, seconds = read(report) if report.exists() else ({}, 0.0)
    return Outcome(suite=suite, code=code, counts=counts, seconds=seconds)


def read(report: Path) -> tuple[dict[str, int], float]:
    """How many tests of each kind a JUnit file tells of, and how long they took."""
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own file
    told = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    bad = told["failures"] + told["errors"] + told["skipped"]
    counts = {
        "failed": told["failures"],
        "passed": told["tests"] - bad,
        "skipped": told["skipped"],
        "errors": told["errors"],
    }
    return counts, sum(float(suite.get("time", 0)) for suite in suites)


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts.get(kind))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
