"""What a person at the terminal reads: the matrix at the end, and what a failing item prints."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Severity, distinct
from pytest_manylinux.report.labels import shortened
from pytest_manylinux.report.matrix import Grid, Row, grid, is_unbuilt, row_labels
from pytest_manylinux.report.phrases import (
    outcome_words,
    policy_words,
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
_COLUMNS_AT_LEAST = 8  # next to the longest names


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A row of the table with its marks, or a heading over rows, which has none."""

    text: str
    marks: tuple[Text, ...] | None = None


def can_show_marks(encoding: str | None) -> bool:
    """Whether a stream of this encoding can show the matrix in its full dress, else in ASCII."""
    try:
        "✓✗·╮│…".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def warning_lines(record: RunRecord, *, verbosity: int) -> list[str]:
    """What wheels that pass are warned of, with -v; with -vv information too. Without: the kinds."""
    weights = (Severity.WARNING, *([Severity.INFORMATION] if verbosity > 1 else []))
    groups = warned(record.verdicts, weights)
    if not groups or verbosity < 0:
        return []
    if verbosity == 0:
        kinds = Counter(group.finding.name for group in groups)
        words = ", ".join(f"{name} {count}" for name, count in kinds.most_common())
        return [f"warnings of wheels that pass: {words}; -v shows {_them(len(groups))}"]
    lines = ["warnings of wheels that pass:"]
    wheel = ""
    for group in groups:
        if group.wheel != wheel:
            wheel = group.wheel
            lines.append(f"  {wheel}")
        lines.append(f"    {warning_words(group.finding)} [{', '.join(group.places)}]")
    return lines


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def matrix(record: RunRecord, *, width: int, color: bool, unicode: bool = True) -> str:
    """The table at the end of a run, with legend and counts; no line is wider than `width`.

    Many wheels of one release stand below its name. Columns that do not fit next to the tags that
    tell wheels apart follow in a further block, with all rows again. `unicode=False` for terminals
    that have ASCII only. Empty for a run without verdicts.
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
    room = console.width - 1 - sum(max(map(len, h.split("\n"))) + 2 for h in headings)
    most = console.width - 1 - min(len(labels), _COLUMNS_AT_LEAST)
    lines = _lines(view, marks, max(room, _NAME_WHATEVER), most, unicode=unicode)
    if _longest(lines) <= room and room >= _NAME_AT_LEAST - 1:
        console.print(_wide_table(lines, headings, room))
    else:
        step = 2 if _NAME_AT_LEAST + 2 * len(labels) <= console.width else 1
        room = max(console.width - step * len(labels) - 1, _NAME_WHATEVER)
        lines = _lines(view, marks, room, most, unicode=unicode)
        for line in _blocks(lines, labels, console.width, unicode=unicode):
            console.print(line, overflow="ellipsis", no_wrap=True)
    console.print()
    for line in _legend(view, console.width, unicode=unicode):
        console.print(line)
    verdicts = distinct(record.verdicts)
    if words := prediction_words(verdicts):
        console.print(f"prediction: {words}")
    if words := suites_words(verdicts):
        console.print(f"tests: {words}")
    for words in policy_words(record.builds):
        console.print(f"policy: {words}")
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


def _lines(
    view: Grid, marks: Sequence[Sequence[Text]], width: int, most: int, *, unicode: bool
) -> list[_Line]:
    """Headings and rows; names have `width` characters if their tags fit in it, `most` at most."""
    cells = iter(marks)
    lines = []
    for group in row_labels(view.rows, width, most=most, indent="  "):
        if group.heading:
            lines.append(_Line(text=group.heading))
        lines += [_Line(text=label, marks=tuple(next(cells))) for label in group.labels]
    if unicode:
        return lines
    return [_Line(text=line.text.replace("…", "~"), marks=line.marks) for line in lines]


def _longest(lines: Iterable[_Line]) -> int:
    """The widest row's name; a heading may reach over the marks."""
    return max(len(line.text) for line in lines if line.marks is not None)


def _wide_table(lines: Iterable[_Line], headings: list[str], room: int) -> Table:
    """Headings in words above the columns."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_edge=False, header_style="")
    table.add_column("wheel", no_wrap=True, overflow="ellipsis", vertical="bottom")
    for heading in headings:
        table.add_column(Text(heading), justify="center", no_wrap=True)
    for line in lines:
        if line.marks is None:
            table.add_row(Text(shortened(line.text, room), style="bold"))
        else:
            table.add_row(Text(line.text), *line.marks)
    return table


def _blocks(
    lines: Sequence[_Line], labels: Sequence[str], width: int, *, unicode: bool
) -> Iterator[Text]:
    """As many columns as fit next to the names, below them the rest in the same way."""
    longest = _longest(lines)
    step = 2 if longest + 2 * len(labels) <= width else 1
    room = width - 1 - step * len(labels)
    alone = room >= longest
    wanted = max(len(label) - step * place * alone for place, label in enumerate(labels))
    before = max(longest, min(wanted, room if alone else width // 2))
    fitting = len(labels) if alone else max((width - 1 - before) // step, 1)
    for start in range(0, len(labels), fitting):
        if start:
            yield Text()
        part = slice(start, start + fitting)
        yield from _staircase(labels[part], before, step, unicode=unicode)
        yield from _marked(lines, part, before, width, step)


def _staircase(labels: Sequence[str], longest: int, step: int, *, unicode: bool) -> Iterator[Text]:
    """Many columns: each `step` wide, its label on a line of its own, a stroke leading down to it.

    The last column's label comes first, so that no label crosses a stroke.
    """
    corner, stroke = ("╮", "│") if unicode else (".", "|")
    for index in reversed(range(len(labels))):
        before = longest + 1 + step * index
        label = labels[index][: max(before - 1, 0)]
        strokes = (stroke + " " * (step - 1)) * (len(labels) - index - 1)
        yield Text.assemble(
            (label.rjust(before - 1) + " ", ""), (corner + " " * (step - 1) + strokes, "dim")
        )


def _marked(lines: Iterable[_Line], part: slice, longest: int, width: int, step: int) -> Iterator[Text]:
    for line in lines:
        if line.marks is None:
            yield Text(shortened(line.text, width), style="bold")
        else:
            cells = Text(" " * (step - 1)).join(line.marks[part])
            yield Text.assemble(line.text.ljust(longest) + " ", cells)


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
