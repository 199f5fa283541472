"""One self-contained HTML page of a run (`--manylinux-html`): its values and its template.

The values are plain, in the order of the page; the template escapes them. The details of cells are
looked up by the script in a table of texts, for a page of 4,000 cells repeats most of them.

Nothing is loaded from anywhere, and the page's own policy forbids it: style and script are let in
by their digests, everything else is shut out. What a wheel puts into names and tracebacks is
escaped by the template, or set as text by the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.escape import plain
from pytest_manylinux.model.distro import Distro, split_target_id
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.report.diff import History, Night
from pytest_manylinux.report.matrix import (
    SEVERITY_ORDER,
    Grid,
    Key,
    Row,
    family_of,
    grid,
    is_unbuilt,
    row_labels,
)
from pytest_manylinux.report.page.details import (
    Texts,
    cell_details,
    run_builds,
    run_facts,
    run_images,
    run_scope,
    wheel_details,
)
from pytest_manylinux.report.page.support_timeline import ReachPicture, reaches
from pytest_manylinux.report.phrases import (
    WarnedWheel,
    counted,
    decisive_line,
    outcome_words,
    warned,
    wheel_words,
)
from pytest_manylinux.report.proof_schema import canonical

LABEL_WIDTH = 56
MARKS = {
    Outcome.PORTABLE: "✓",
    Outcome.NOT_PORTABLE: "✗",
    Outcome.EXPECTED: "e",
    Outcome.NOT_PROVEN: "?",
}
UNBUILT = "–"  # noqa: RUF001 - a dash of the table
# One letter an outcome: class names, and histories in a string.
LETTERS = {
    Outcome.PORTABLE: "p",
    Outcome.NOT_PORTABLE: "n",
    Outcome.EXPECTED: "e",
    Outcome.NOT_PROVEN: "u",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One mark of the matrix; `index` finds its details, `findings` is for the filter."""

    index: int
    letter: str
    mark: str
    label: str
    findings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnView:
    """A column's heading. `place` counts from 0, the audit's column first."""

    place: int
    label: str
    family: str
    note: str
    libc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """A wheel's row; `cells` are as many as there are columns. `leads` its project's rows or not.

    `heading` is over it where many wheels of one release follow.
    """

    index: int
    label: str
    filename: str
    leads: bool
    heading: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Verdicts of one wheel that fail for one reason, told once."""

    letter: str
    mark: str
    words: str
    wheel: str
    places: tuple[str, ...]
    cells: tuple[int, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One earlier run: its day and the share of each outcome, in percent from the left."""

    day: str
    words: str
    parts: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """All that the template shows."""

    title: str
    state: str
    state_mark: str
    scope: str
    parts: tuple[tuple[str, float, float], ...]
    counts: tuple[tuple[str, str, str, int], ...]
    facts: tuple[tuple[str, str], ...]
    families: tuple[tuple[str, int], ...]
    columns: tuple[ColumnView, ...]
    rows: tuple[RowView, ...]
    findings: tuple[tuple[str, int], ...]
    failures: tuple[FailureGroup, ...]
    declared: tuple[FailureGroup, ...]
    warned: tuple[WarnedWheel, ...]
    unbuilt: int
    reaches: tuple[ReachPicture, ...]
    trend: tuple[Trend, ...]
    images: tuple[tuple[str, str, str], ...]
    builds: tuple[tuple[str, ...], ...]
    settings: tuple[tuple[str, str, str], ...]
    data: Mapping[str, object] = field(repr=False)


def page_view(record: RunRecord, *, history: History | None = None) -> PageView:
    """Arrange a canonical run for the page."""
    layout = grid(record)
    assembly = _Assembly(record, layout, history)
    state = _state(layout)
    rows = tuple(assembly.row(index, row) for index, row in enumerate(layout.rows))
    return PageView(
        title=_title(layout),
        state=LETTERS[state] if state else "none",
        state_mark=MARKS[state] if state else "-",
        scope=run_scope(record, layout),
        parts=shares(layout.counts),
        counts=tuple(
            (LETTERS[outcome], MARKS[outcome], outcome_words(outcome), layout.counts[outcome])
            for outcome in MARKS
        ),
        facts=run_facts(record),
        families=assembly.families(),
        columns=assembly.columns(),
        rows=rows,
        findings=_findings(record.verdicts),
        failures=assembly.told(Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN),
        declared=assembly.told(Outcome.EXPECTED),
        warned=warned(record.verdicts),
        unbuilt=layout.unbuilt,
        reaches=tuple(assembly.reaches),
        trend=_trend(history, record),
        images=run_images(record.verdicts),
        builds=run_builds(record),
        settings=tuple((s.name, s.value, s.source) for s in record.settings),
        data=assembly.data(),
    )


class _Assembly:
    """Builds rows, and the details that the script shows."""

    def __init__(self, record: RunRecord, layout: Grid, history: History | None) -> None:
        self.record = record
        self.layout = layout
        self.distros = {distro.id: distro for distro in record.distros}
        self.wheels = {(w.file, w.sha256): w for w in record.wheels}
        self.labels: list[str] = []
        self.headings: list[str] = []
        for group in row_labels(layout.rows, LABEL_WIDTH):
            self.labels += group.labels
            self.headings += [group.heading] * len(group.labels)
        self.texts = Texts()
        self.cells: list[object] = []
        self.cell_of: dict[int, int] = {}
        self.nights = {} if history is None else history.nights(record)
        self.night_days = () if history is None else tuple(_day(r.started) for r in history.records)
        day = datetime.fromtimestamp(record.started, tz=timezone.utc).date()
        self.reaches, self.reach_of = reaches(layout, self.distros, today=day)
        self.wheel_data: list[object] = []

    def row(self, index: int, row: Row) -> RowView:
        """A row and the details of its cells and wheel."""
        key = (row.wheel, row.sha256)
        label, heading = self.labels[index], self.headings[index]
        whole = f"{heading} {label}".lstrip()
        found: list[Cell | None] = [
            None if verdict is None else self._cell(verdict, key, whole, name)
            for verdict, name in zip(self._verdicts(row), self._names(), strict=True)
        ]
        self.wheel_data.append(
            wheel_details(row, self.wheels.get(key), self.texts, reach=self.reach_of.get(key))
        )
        before = self.labels[index - 1] if index else ""
        led = index > 0 and heading == self.headings[index - 1]
        return RowView(
            index=index,
            label=label,
            filename=wheel_words(row.wheel),
            leads=label.partition(" ")[0] != before.partition(" ")[0],
            heading="" if led else heading,
            cells=tuple(found),
        )

    def _verdicts(self, row: Row) -> list[Verdict | None]:
        return [*([row.audit] if self.layout.audited else []), *row.cells]

    def _names(self) -> list[str]:
        return [*(["audit"] if self.layout.audited else []), *(c.label for c in self.layout.columns)]

    def _cell(self, verdict: Verdict, key: Key, label: str, place: str) -> Cell:
        nights = "".join(_letter(night) for night in self.nights.get((key, verdict.subject), ()))
        index, words = len(self.cells), outcome_words(verdict.outcome)
        self.cells.append(cell_details(verdict, self.texts, label=label, place=place, nights=nights))
        self.cell_of[id(verdict)] = index
        return Cell(
            index=index,
            letter=LETTERS[verdict.outcome],
            mark=UNBUILT if is_unbuilt(verdict) else MARKS[verdict.outcome],
            label=f"{'not built' if is_unbuilt(verdict) else words}: {label}, {place}",
            findings=" ".join(dict.fromkeys(finding.name for finding in verdict.findings)),
        )

    def families(self) -> tuple[tuple[str, int], ...]:
        """Runs of neighbouring columns of one family, and how many each has."""
        runs: list[tuple[str, int]] = []
        for column in self.columns():
            if runs and runs[-1][0] == column.family:
                runs[-1] = (column.family, runs[-1][1] + 1)
            else:
                runs.append((column.family, 1))
        return tuple(runs)

    def columns(self) -> tuple[ColumnView, ...]:
        """Headings, the audit's first if any wheel was audited."""
        found = [ColumnView(place=0, label="audit", family="", note="")] if self.layout.audited else []
        for column in self.layout.columns:
            distro = self.distros.get(column.distro)
            found.append(
                ColumnView(
                    place=len(found),
                    label=column.label,
                    family=family_of(column, self.distros),
                    note=_note(distro),
                    libc="" if distro is None else str(distro.libc),
                )
            )
        return tuple(found)

    def told(self, *outcomes: Outcome) -> tuple[FailureGroup, ...]:
        """All that ended so, the worst first."""
        groups: dict[tuple[str, str, Outcome, str], list[Verdict]] = {}
        for verdict in self.record.verdicts:
            if verdict.outcome in outcomes:
                declared = verdict.expectation
                line = decisive_line(verdict) if declared is None else declared.reason
                key = (verdict.wheel, verdict.wheel_sha256, verdict.outcome, line)
                groups.setdefault(key, []).append(verdict)
        ordered = sorted(groups.values(), key=lambda group: SEVERITY_ORDER.index(group[0].outcome))
        return tuple(self._failure(group) for group in ordered)

    def _failure(self, group: Sequence[Verdict]) -> FailureGroup:
        first = group[0]
        return FailureGroup(
            letter=LETTERS[first.outcome],
            mark=MARKS[first.outcome],
            words=outcome_words(first.outcome),
            wheel=wheel_words(first.wheel),
            places=tuple(" ".join(split_target_id(v.subject) or (v.subject,)) for v in group),
            cells=tuple(self.cell_of.get(id(verdict), -1) for verdict in group),
            verdict=first,
        )

    def data(self) -> Mapping[str, object]:
        """What the script reads."""
        return {
            "texts": self.texts.all,
            "cells": self.cells,
            "wheels": self.wheel_data,
            "nights": self.night_days,
            "words": {LETTERS[outcome]: outcome_words(outcome) for outcome in MARKS},
        }


def _note(distro: Distro | None) -> str:
    if distro is None:
        return ""
    end = "rolling" if distro.rolling else ""
    if distro.end_of_life is not None:
        end = f"supported until {distro.end_of_life.isoformat()}"
    return ", ".join(filter(None, (distro.title, str(distro.libc), end)))


def _letter(night: Night) -> str:
    return "-" if night.outcome is None else LETTERS[night.outcome]


def _day(started: float) -> str:
    return f"{datetime.fromtimestamp(started, tz=timezone.utc):%Y-%m-%d}"


def _state(layout: Grid) -> Outcome | None:
    """What the run amounts to: its worst outcome that does not pass, else a pass."""
    found = [outcome for outcome in SEVERITY_ORDER if layout.counts[outcome]]
    passed = Outcome.PORTABLE if found else None
    return next((outcome for outcome in found if not outcome.passes), passed)


def _title(layout: Grid) -> str:
    failed = layout.counts[Outcome.NOT_PORTABLE] + layout.counts[Outcome.NOT_PROVEN]
    total = sum(layout.counts.values())
    if not total:
        return "no verdicts"
    if failed:
        return f"{failed} of {counted(total, 'verdict')} do not pass"
    if declared := layout.counts[Outcome.EXPECTED]:
        return f"every verdict passes, {declared} of {total} as declared faults"
    return "every wheel passed"


def _findings(verdicts: Iterable[Verdict]) -> tuple[tuple[str, int], ...]:
    """Names of findings and how many cells have each."""
    counts = Counter(name for v in verdicts for name in {finding.name for finding in v.findings})
    return tuple(sorted(counts.items()))


def shares(counts: Mapping[Outcome, int]) -> tuple[tuple[str, float, float], ...]:
    """Each outcome's part of a bar: letter, left edge and width in percent."""
    total = max(sum(counts.values()), 1)
    parts: list[tuple[str, float, float]] = []
    left = 0.0
    for outcome, letter in LETTERS.items():
        width = 100 * counts.get(outcome, 0) / total
        if width:
            parts.append((letter, round(left, 3), round(width, 3)))
            left += width
    return tuple(parts)


def _trend(history: History | None, record: RunRecord) -> tuple[Trend, ...]:
    if history is None:
        return ()
    return tuple(_night(run) for run in (*history.records, record))


def _night(run: RunRecord) -> Trend:
    counts = Counter(verdict.outcome for verdict in run.verdicts)
    words = ", ".join(f"{counts[o]} {outcome_words(o)}" for o in LETTERS if counts[o])
    if flaky := sum(v.tries is not None and v.tries.flaky for v in run.verdicts):
        words = f"{words} ({flaky} flaky)"
    return Trend(day=_day(run.started), words=words or "no verdicts", parts=shares(counts))


# Up to so many columns their headings stand upright; more are turned, so that all fit a screen.
ROOMY = 8
# Rows that are laid out before all others: those of the first screens, a phone's too.
FIRST = 200
_PACKAGE = "pytest_manylinux.report.page"


def write_html(record: RunRecord, path: Path, *, history: History | None = None) -> None:
    """Write the page; `history` adds each cell's earlier nights. Raises ReportError."""
    write_atomically(path, (part.encode() for part in _parts(record, history)))


def html(record: RunRecord, *, history: History | None = None) -> str:
    """The page as text."""
    return "".join(_parts(record, history))


def _parts(record: RunRecord, history: History | None) -> Iterator[str]:
    style, script = _asset("page.css"), _asset("page.js")
    view = page_view(canonical(record), history=history)
    return (
        _environment()
        .get_template("page.html.jinja")
        .generate(
            view=view,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            data=_embedded(view.data),
            policy=_content_policy(style, script),
            roomy=ROOMY,
            first=FIRST,
        )
    )


def _content_policy(style: str, script: str) -> str:
    """Content Security Policy, level 3: digests of the two inline blocks, and nothing else."""
    return (
        f"default-src 'none'; script-src {_hash_source(script)}; style-src {_hash_source(style)};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embedded(data: object) -> Markup:
    """JSON inside of a script element: no character in it can end the element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - just made harmless


@cache
def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pytest_manylinux.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_sound,
    )
    environment.filters["name"] = lambda label: label.partition(" ")[0]
    environment.filters["rest"] = lambda label: "".join(label.partition(" ")[1:])
    return environment


def _sound(value: object) -> object:
    """Make every text that a template puts out printable; markup of our own stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
