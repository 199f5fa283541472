"""What a person at the terminal reads: the matrix at the end, and what a failing item prints."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Severity
from pytest_manylinux.report.labels import wheel_labels
from pytest_manylinux.report.matrix import Grid, Row, distinct, grid, is_unbuilt
from pytest_manylinux.report.phrases import (
    counted,
    outcome_words,
    prediction_words,
    remembered_words,
    repeated_words,
    suites_words,
    verdict_text,
    warned,
    warning_words,
)

__all__ = ["can_show_marks", "matrix", "verdict_text", "warning_lines"]

_MARKS = {
    Outcome.PORTABLE: ("✓", "+", "green"),
    Outcome.NOT_PORTABLE: ("✗", "X", "bold red"),
    Outcome.EXPECTED: ("e", "e", "cyan"),
    Outcome.NOT_PROVEN: ("?", "?", "bold yellow"),
}
_NAME_AT_LEAST = 24
_NAME_WHATEVER = 16  # a name's room where the columns leave none


def can_show_marks(encoding: str | None) -> bool:
    """Whether a stream of this encoding can show the matrix in its full dress, else in ASCII."""
    try:
        "✓✗·╮│…".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def warning_lines(record: RunRecord, *, verbosity: int) -> list[str]:
    """What wheels that pass are warned of, with -v; with -vv information too. Without: how many."""
    weights = (Severity.WARNING, *([Severity.INFORMATION] if verbosity > 1 else []))
    groups = warned(record.verdicts, weights)
    if not groups or verbosity < 0:
        return []
    if verbosity == 0:
        count = counted(len(groups), "warning")
        return [
            f"warnings: {count} of wheels that pass; -v shows {'it' if len(groups) == 1 else 'them'}"
        ]
    lines = ["warnings of wheels that pass:"]
    wheel = ""
    for group in groups:
        if group.wheel != wheel:
            wheel = group.wheel
            lines.append(f"  {wheel}")
        lines.append(f"    {warning_words(group.finding)} [{', '.join(group.places)}]")
    return lines


def matrix(record: RunRecord, *, width: int, color: bool, unicode: bool = True) -> str:
    """The table at the end of a run, with legend and counts; no line is wider than `width`.

    `unicode=False` for terminals that have ASCII only. Empty for a run without verdicts.
    """
    if not record.verdicts:
        return ""
    view = grid(record)
    labels = (["audit"] if view.audited else []) + [column.label for column in view.columns]
    marks = [_marks(row, audited=view.audited, unicode=unicode) for row in view.rows]
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=max(width, 40),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    headings = [label.replace(" ", "\n") for label in labels]
    wide = sum(max(map(len, h.split("\n"))) + 2 for h in headings)
    if wide + _NAME_AT_LEAST <= console.width:
        names = _names(view, console.width - wide - 1, unicode=unicode)
        console.print(_wide_table(names, headings, marks))
    else:
        for line in _staircase(view, labels, marks, console.width, unicode=unicode):
            console.print(line, overflow="ellipsis", no_wrap=True)
    console.print()
    for line in _legend(view, console.width, unicode=unicode):
        console.print(line)
    verdicts = distinct(record.verdicts)
    if words := prediction_words(verdicts):
        console.print(f"prediction: {words}")
    if words := suites_words(verdicts):
        console.print(f"tests: {words}")
    if words := repeated_words(verdicts):
        console.print(f"repeated: {words}")
    if words := remembered_words(verdicts):
        console.print(f"remembered: {words}")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _marks(row: Row, *, audited: bool, unicode: bool) -> list[Text]:
    verdicts = ([row.audit] if audited else []) + list(row.cells)
    return [
        _unbuilt(unicode=unicode)
        if v is not None and is_unbuilt(v)
        else _mark(None if v is None else v.outcome, unicode=unicode)
        for v in verdicts
    ]


def _unbuilt(*, unicode: bool) -> Text:
    return Text("–" if unicode else "-", style="yellow")  # noqa: RUF001 - a dash of the table


def _mark(outcome: Outcome | None, *, unicode: bool) -> Text:
    if outcome is None:
        return Text("·" if unicode else ".", style="dim")
    pretty, ascii_mark, style = _MARKS[outcome]
    return Text(pretty if unicode else ascii_mark, style=style)


def _names(view: Grid, width: int, *, unicode: bool) -> tuple[str, ...]:
    labels = wheel_labels([row.wheel for row in view.rows], width)
    return labels if unicode else tuple(label.replace("…", "~") for label in labels)


def _wide_table(names: Sequence[str], headings: list[str], marks: list[list[Text]]) -> Table:
    """Headings in words above the columns."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_edge=False, header_style="")
    table.add_column("wheel", no_wrap=True, overflow="ellipsis", vertical="bottom")
    for heading in headings:
        table.add_column(Text(heading), justify="center", no_wrap=True)
    for name, row in zip(names, marks, strict=True):
        table.add_row(Text(name), *row)
    return table


def _staircase(
    view: Grid, labels: list[str], marks: list[list[Text]], width: int, *, unicode: bool
) -> Iterable[Text]:
    """Many columns: each two wide, its label on a line of its own, a stroke leading down to it.

    The last column's label comes first, so that no label crosses a stroke.
    """
    step = 2 if _NAME_AT_LEAST + 2 * len(labels) <= width else 1
    room = max(width - step * len(labels) - 1, _NAME_WHATEVER)
    names = _names(view, room, unicode=unicode)
    longest = max(map(len, names))
    corner, stroke = ("╮", "│") if unicode else (".", "|")
    for index in reversed(range(len(labels))):
        before = longest + 1 + step * index
        label = labels[index][: max(before - 1, 0)]
        strokes = (stroke + " " * (step - 1)) * (len(labels) - index - 1)
        yield Text.assemble(
            (label.rjust(before - 1) + " ", ""), (corner + " " * (step - 1) + strokes, "dim")
        )
    for name, row in zip(names, marks, strict=True):
        cells = Text((" " * (step - 1)), style="").join(row)
        yield Text.assemble(name.ljust(longest) + " ", cells)


def _legend(view: Grid, width: int, *, unicode: bool) -> Iterable[Text]:
    """Marks in words with their counts; a new line rather than a broken entry."""
    parts = [Text(f"{view.size_words}:")]
    counts = view.counts - Counter({Outcome.NOT_PROVEN: view.unbuilt})
    parts += [
        Text.assemble(_mark(outcome, unicode=unicode), f" {outcome_words(outcome)} {count}")
        for outcome in _MARKS
        if (count := counts[outcome])
    ]
    if view.unbuilt:
        parts.append(Text.assemble(_unbuilt(unicode=unicode), f" not built {view.unbuilt}"))
    if any(cell is None for row in view.rows for cell in row.cells):
        parts.append(Text.assemble(_mark(None, unicode=unicode), " does not fit there"))
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 2 > width:
            yield line
            line = Text("  ")
        line = Text.assemble(line, "  ", part)
    yield line
