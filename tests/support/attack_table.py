"""The table of attacks and faults: what was tried on which engine, and what held.

A test marked `attack(KIND)` is one row, in which its parameters but the engine are counted; with
`by=PARAMETER` it is one row for each value of that. A plugin, so that the counts are made by the run
itself and not by hand.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

KINDS = {
    "forgery": "a verdict is forged",
    "escape": "something outside is reached or changed",
    "call": "the kernel is asked for what only harms",
    "limit": "more is taken than was given",
    "archive": "bytes that are no honest archive",
    "fault": "something dies or is damaged",
}
_PROPERTY = "attack"
_HERE = "host"  # where no sandbox is needed


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put kind, name and engine into each report, so that they come through from workers too."""
    for item in items:
        mark = item.get_closest_marker("attack")
        if mark is None or not isinstance(item, pytest.Function):
            continue
        (kind,) = mark.args
        engine = mark.kwargs.get("engine", _HERE)
        if hasattr(item, "callspec"):
            engine = item.callspec.params.get("where", item.callspec.params.get("engine", engine))
        name = item.originalname.removeprefix("test_").replace("_", " ")
        if by := mark.kwargs.get("by"):
            name = f"{name}: {item.callspec.params[by]}"
        item.user_properties.append((_PROPERTY, [kind, name, str(engine)]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, if the run had any such test."""
    tried: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    held: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for kind, name, engine, passed in _results(terminalreporter):
        tried[kind, name][engine] += 1
        held[kind, name][engine] += passed
    if tried:
        terminalreporter.section("attacks and faults")
        for line in table(tried, held):
            terminalreporter.write_line(line)


def _results(reporter: pytest.TerminalReporter) -> list[tuple[str, str, str, bool]]:
    """One entry for each test: held only if set-up, call and tear-down went well; none if skipped."""
    found: dict[str, tuple[str, str, str, bool]] = {}
    skipped = set()
    for reports in reporter.stats.values():
        for report in filter(lambda one: isinstance(one, pytest.TestReport), reports):
            skipped.update([report.nodeid] if report.skipped else [])
            for name, value in report.user_properties:
                if name == _PROPERTY and isinstance(value, (list, tuple)):
                    kind, words, engine = map(str, value)
                    fine = report.passed and found.get(report.nodeid, (0, 0, 0, True))[3]
                    found[report.nodeid] = (kind, words, engine, fine)
    return [row for test, row in found.items() if test not in skipped]


def table(
    tried: dict[tuple[str, str], Counter[str]], held: dict[tuple[str, str], Counter[str]]
) -> list[str]:
    """The lines: `held/tried` for each attack and engine, and the sums."""
    engines = sorted({engine for counts in tried.values() for engine in counts})
    lines = [f"{'held/tried':<78}" + "".join(f"{engine:>12}" for engine in engines)]
    for kind, words in KINDS.items():
        rows = sorted(name for key, name in tried if key == kind)
        lines += [f"{words}:"] if rows else []
        for name in rows:
            cells = [_cell(held[kind, name][one], tried[kind, name][one]) for one in engines]
            lines.append(f"  {name[:75]:<76}" + "".join(f"{cell:>12}" for cell in cells))
    sums = [
        _cell(sum(row[one] for row in held.values()), sum(row[one] for row in tried.values()))
        for one in engines
    ]
    lines.append(f"{'all':<78}" + "".join(f"{cell:>12}" for cell in sums))
    return lines


def _cell(held: int, tried: int) -> str:
    return f"{held}/{tried}" if tried else "-"
