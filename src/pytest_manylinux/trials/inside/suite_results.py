"""A pytest plugin that tells, test by test, how a project's own tests go.

The agent puts this file into the venv as the module NAME, once everything else is installed, and has
PYTEST_ADDOPTS load it. Each line that it appends to RESULTS is one JSON object, written at once, so
that what was told stays true however the interpreter ends. Any pytest that the project wants loads it:
Python 3.6 or later, and only the standard library. Nothing here judges.
"""

import json
import os

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from typing import Any

NAME = "manylinux_suite_results"
RESULTS = "/scratch/suite/results.jsonl"
WORDS = 1500  # characters kept of what a failed test said
LONGEST_NAME = 400
MOST_WORDS = 500  # tests whose words are told

dumps, open_file, write, close, identity = json.dumps, os.open, os.write, os.close, os.getpid


def tell(**words: "Any") -> None:
    """Append a line. Tests may replace functions of `os` and `json` meanwhile: these are held."""
    line = dumps(words).encode("ascii", "replace") + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = open_file(RESULTS, flags, 0o600)
    except OSError:
        return
    write(descriptor, line)
    close(descriptor)


def pytest_configure(config: "Any") -> None:
    """Watch this session: not the workers of pytest-xdist, and no pytest that a test starts."""
    words = os.environ.get("PYTEST_ADDOPTS", "").replace("-p " + NAME, "").strip()
    if words:
        os.environ["PYTEST_ADDOPTS"] = words
    else:
        os.environ.pop("PYTEST_ADDOPTS", None)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(), NAME + "-session")


class Results:
    """What one session tells."""

    def __init__(self) -> None:
        """Begin without a failure."""
        self.told = 0

    def pytest_sessionstart(self) -> None:
        """Tell that a session has begun."""
        tell(kind="start", process=identity())

    def pytest_collectreport(self, report: "Any") -> None:
        """Tell of a file that cannot be collected."""
        if report.failed:
            self.result(report, "error")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell that a test begins."""
        tell(kind="begin", test=nodeid[:LONGEST_NAME])

    def pytest_runtest_logreport(self, report: "Any") -> None:
        """Tell how the call went, and of a setup or teardown only what is not as it should be."""
        if report.outcome == "rerun":  # pytest-rerunfailures: the last one counts
            return
        if report.failed:
            self.result(report, "failed" if report.when == "call" else "error")
        elif hasattr(report, "wasxfail"):
            if report.skipped or report.when == "call":
                self.result(report, "xfailed" if report.skipped else "xpassed")
        elif report.skipped:
            self.result(report, "skipped")
        elif report.when == "call":
            self.result(report, "passed")

    def result(self, report: "Any", status: str) -> None:
        """Tell of one test, with the end of its traceback where it failed."""
        words = ""
        if status in ("failed", "error") and self.told < MOST_WORDS:
            self.told += 1
            words = str(getattr(report, "longreprtext", "") or report.longrepr or "")[-WORDS:]
        tell(
            kind="test",
            test=(report.nodeid or "collection")[:LONGEST_NAME],
            status=status,
            seconds=round(getattr(report, "duration", 0.0), 4),
            words=words,
        )

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Tell that the session has come to its end."""
        tell(kind="end", code=int(exitstatus))
