"""What a forge shows of a run: Markdown for comments and summaries, annotations in GitHub's workflows.

Markdown is written where `--manylinux-markdown` says, and appended to what GITHUB_STEP_SUMMARY names,
as GitHub, GitLab and Gitea render it. Words of wheels stand in code spans, where nothing is markup, a
link or a mention. Annotations are for jobs of GitHub Actions, Gitea and Forgejo.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.errors import ReportError
from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Finding, Outcome, Verdict
from pytest_manylinux.report.matrix import Grid, Row, grid, is_unbuilt, row_labels
from pytest_manylinux.report.phrases import (
    counted,
    decisive_line,
    outcome_words,
    place_words,
    remembered_words,
    repeated_words,
    wheel_words,
)

MARKS = {
    Outcome.PORTABLE: "✅",
    Outcome.NOT_PORTABLE: "❌",
    Outcome.EXPECTED: "☑️",
    Outcome.NOT_PROVEN: "❓",
}
UNBUILT = "➖"  # noqa: RUF001 - an emoji like the others
# GitHub takes 1 MiB as the summary of a step and 65,536 characters in a comment.
SUMMARY_BOUND = 1_000_000
COMMENT_BOUND = 65_000
_LABEL_WIDTH = 60


def write_markdown(record: RunRecord, path: Path) -> None:
    """Write the report; short enough for a comment. Raises ReportError."""
    write_atomically(path, markdown(record, bound=COMMENT_BOUND).encode())


def append_summary(record: RunRecord, path: Path) -> None:
    """Add the report to a step's summary, which other steps write to as well. Raises ReportError."""
    try:
        room = SUMMARY_BOUND - (path.stat().st_size if path.exists() else 0)
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + markdown(record, bound=max(room, 0) // 4))
    except OSError as error:
        raise ReportError(f"{path}: no summary written", why=error.strerror or str(error)) from error


def markdown(record: RunRecord, *, bound: int = COMMENT_BOUND) -> str:
    """The report, at most `bound` characters: details go first, then rows that passed, then rows.

    The text says what is left out. Ends with a line break.
    """
    view = grid(record)
    failures = [v for v in record.verdicts if not v.outcome.passes]
    head = ["## Portability of wheels", "", _counts(view), ""]
    words = [f"{mark} {outcome_words(o)}" for o, mark in MARKS.items()]
    words += [f"{UNBUILT} not built"] if view.unbuilt else []
    legend = ["", " · ".join(words), ""]
    details = [detail for group in _grouped(failures) for detail in ["", *_details(group)]]
    for rows, shown in (
        (view.rows, details),
        (view.rows, [_left_out(failures)]),
        (_troubled(view), [_left_out(failures), _passed(view)]),
        ((), [_left_out(failures), "", "The table is too long for this place."]),
    ):
        text = _safely("\n".join([*head, *_table(view, rows), *legend, *shown]))
        if len(text) + 1 <= bound:
            return text + "\n"
    return (_counts(view) + "\n")[:bound]


def _safely(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def span(text: str) -> str:
    """Text as a code span, on one line; its fence is longer than any run of backticks inside."""
    sound = plain_line(text).strip()
    if not sound:
        return ""
    fence = "`" * (_longest_run(sound) + 1)
    pad = " " if "`" in (sound[0], sound[-1]) else ""
    return f"{fence}{pad}{sound}{pad}{fence}"


def _cell(text: str) -> str:
    """A code span in a table, where a bar would end the cell even inside of it."""
    return span(text).replace("|", "\\|")


def _html(text: str) -> str:
    """Text as code inside of an HTML block, where Markdown is not read."""
    return f"<code>{html.escape(plain_line(text))}</code>"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _counts(view: Grid) -> str:
    total = sum(view.counts.values())
    if not total:
        return "No verdicts."
    counts = (f"{view.counts[o]} {outcome_words(o)}" for o in MARKS if view.counts[o])
    verdicts = [v for row in view.rows for v in (*row.general, *row.cells) if v is not None]
    notes = {"Repeated": repeated_words(verdicts), "Remembered": remembered_words(verdicts)}
    told = "".join(f" {name}: {words}." for name, words in notes.items() if words)
    return f"{view.size_words}: {', '.join(counts)}.{told}"


def _table(view: Grid, rows: Iterable[Row]) -> Iterator[str]:
    shown = list(rows)
    if not shown:
        return
    heads = ["wheel", *(["audit"] if view.audited else []), *(_cell(c.label) for c in view.columns)]
    yield f"| {' | '.join(heads)} |"
    yield f"|:---|{':-:|' * (len(heads) - 1)}"
    every = iter(view.rows)
    wanted = {(row.wheel, row.sha256) for row in shown}
    for group in row_labels(view.rows, _LABEL_WIDTH):
        found = [(label, next(every)) for label in group.labels]
        kept = [(label, row) for label, row in found if (row.wheel, row.sha256) in wanted]
        if group.heading and kept:
            yield f"| **{_cell(group.heading)}** |{' |' * (len(heads) - 1)}"
        for label, row in kept:
            verdicts = [*([row.audit] if view.audited else []), *row.cells]
            marks = [_mark(verdict) if verdict else "" for verdict in verdicts]
            yield f"| {_cell(label)} | {' | '.join(marks)} |"


def _mark(verdict: Verdict) -> str:
    return UNBUILT if is_unbuilt(verdict) else MARKS[verdict.outcome]


def _troubled(view: Grid) -> tuple[Row, ...]:
    def fails(row: Row) -> bool:
        return any(v is not None and not v.outcome.passes for v in (*row.general, *row.cells))

    return tuple(row for row in view.rows if fails(row))


def _passed(view: Grid) -> str:
    passed = counted(len(view.rows) - len(_troubled(view)), "wheel")
    return f"\nLeft out: {passed} that passed everywhere."


def _left_out(failures: list[Verdict]) -> str:
    return f"\nDetails of {counted(len(failures), 'failure')} are left out: too long for this place."


def _grouped(failures: Iterable[Verdict]) -> list[list[Verdict]]:
    """Failures of one wheel for one reason are told once, with all their distros."""
    groups: dict[tuple[str, str, Outcome, str], list[Verdict]] = {}
    for verdict in failures:
        key = (verdict.wheel, verdict.wheel_sha256, verdict.outcome, decisive_line(verdict))
        groups.setdefault(key, []).append(verdict)
    return list(groups.values())


def _details(group: list[Verdict]) -> Iterator[str]:
    first = group[0]
    places = ", ".join(_html(verdict.subject) for verdict in group)
    yield "<details>"
    wheel = _html(wheel_words(first.wheel))
    words = outcome_words(first.outcome)
    yield f"<summary>{MARKS[first.outcome]} {wheel}: {words} on {places}</summary>"
    yield ""
    if first.reason:
        yield f"{span(first.reason)}\n"
    for finding in first.errors or first.findings:
        yield from _finding(finding)
    yield "</details>"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"**{span(f'{finding.code} {finding.name}')}**: {span(finding.message)}"
    if finding.evidence:
        yield ""
        yield from _code_block("\n".join(finding.evidence))
    if finding.remedy:
        yield "\nRemedy:\n"
        yield from _code_block(finding.remedy)
    yield ""


def _code_block(text: str) -> Iterator[str]:
    """A fence that is longer than any run of backticks inside."""
    sound = plain(text)
    fence = "`" * max(3, _longest_run(sound) + 1)
    yield f"{fence}text"
    yield sound
    yield fence


# A step shows ten annotations of a kind; the rest would only fill the log.
ANNOTATIONS = 10


def workflow_annotations(record: RunRecord, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Workflow commands to print, a line each; none outside of a workflow.

    What a wheel says is escaped, so that it cannot issue commands of its own.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return ()
    failures = [verdict for verdict in record.verdicts if not verdict.outcome.passes]
    failures.sort(key=lambda v: (v.outcome is not Outcome.NOT_PORTABLE, v.wheel, v.subject))
    lines = [_annotation(v) for v in failures[: ANNOTATIONS - (len(failures) > ANNOTATIONS)]]
    if hidden := len(failures) - len(lines):
        lines.append(_command(title="More wheels failed", message=f"{counted(hidden, 'failure')} more"))
    return tuple(lines)


def _annotation(verdict: Verdict) -> str:
    words = outcome_words(verdict.outcome)
    return _command(
        title=f"{wheel_words(verdict.wheel)} {words} on {place_words(verdict)}",
        message=decisive_line(verdict) or words,
    )


def _command(*, title: str, message: str) -> str:
    name = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={name}::{_data(message)}"


def _data(text: str) -> str:
    """As the runner unescapes it: percent signs and line breaks."""
    return plain_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
