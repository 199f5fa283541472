"""What every test of this repository shares."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

TABLE = "table"  # the property that carries a text to the end of the run
pytest_plugins = ["pytester", "attack_table"]

# Fast ones first, so that a mistake shows early; the folders' order by name would not do that.
_ORDER = ("unit", "plugin", "conformance", "integration")
# And of what is tried on real roots the files that take minutes, so that no worker is left with one
# of them when all others have ended.
_LONG = (
    "test_image_files",
    "test_flaky_wheels",
    "test_cluster_runs",
    "test_build_projects",
    "test_container_runs",
    "test_builder_images",
    "test_architectures",
    "test_images_roots",
    "test_wheel_kinds",
    "test_other_pythons",
    "test_images_registry",
    "test_prove_trial",
)


def pytest_configure() -> None:
    # A shell ignores SIGINT for what it starts in the background, and programs inherit that: the runs
    # that tests interrupt would not notice.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = config.rootpath / "tests"

    def place(item: pytest.Item) -> tuple[int, int]:
        path = Path(item.path)
        kind = path.relative_to(tests).parts[0] if path.is_relative_to(tests) else ""
        long = _LONG.index(path.stem) if path.stem in _LONG else len(_LONG)
        return (_ORDER.index(kind) if kind in _ORDER else 0, long)

    items.sort(key=place)


@pytest.fixture
def show_table(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Show a text at the end of the run, whichever process the test ran in."""

    def show(text: str) -> None:
        request.node.user_properties.append((TABLE, text))

    return show


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                for name, text in report.user_properties:
                    if name == TABLE:
                        terminalreporter.section(report.nodeid)
                        terminalreporter.write_line(str(text))
