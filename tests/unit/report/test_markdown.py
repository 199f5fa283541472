from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from run_records import (
    EXECUTABLE_STACK,
    make_large_run,
    make_release_run,
    make_run,
    make_verdict,
    make_wheel_record,
    runs,
)

from pytest_manylinux.errors import ReportError
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.report.markdown import (
    ANNOTATIONS,
    COMMENT_BOUND,
    append_summary,
    markdown,
    span,
    workflow_annotations,
    write_markdown,
)

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl")
TARGET = "debian-12-cp311-x86_64"
FAILED = make_run(
    [WHEEL], [make_verdict(WHEEL, "audit"), make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)]
)
ON_GITHUB = {"GITHUB_ACTIONS": "true"}
_TAGS = re.compile(r"</?(?!details|summary|code)[a-zA-Z!][^>]*>")


def test_the_table_has_wheels_down_and_distros_across() -> None:
    lines = markdown(FAILED).splitlines()
    assert lines[2] == "1 wheel (0 pass), 1 distro, 2 verdicts: 1 portable, 1 not portable."
    assert lines[4:7] == [
        "| wheel | audit | `debian-12 cp311` |",
        "|:---|:-:|:-:|",
        "| `demo 1.0 cp311 manylinux1_x86_64` | ✅ | ❌ |",
    ]


def test_failures_have_their_evidence_and_remedy() -> None:
    text = markdown(FAILED)
    assert "**`ML107 executable-stack`**" in text
    assert EXECUTABLE_STACK.evidence[0] in text
    assert EXECUTABLE_STACK.remedy in text


def test_failures_of_one_kind_are_told_once() -> None:
    targets = [TARGET, "debian-13-cp313-x86_64"]
    record = make_run([WHEEL], [make_verdict(WHEEL, t, Outcome.NOT_PORTABLE) for t in targets])
    assert markdown(record).count("<details>") == 1


@settings(max_examples=80)
@given(runs())
def test_words_of_a_wheel_form_no_markup(record: RunRecord) -> None:
    text = markdown(record)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token in tokens:
        if token.type == "html_block":
            assert _TAGS.findall(token.content) == []
        for child in token.children or ():
            assert child.type in {
                "text",
                "code_inline",
                "strong_open",
                "strong_close",
                "softbreak",
            }, child
    rows = [token for token in tokens if token.type == "tr_open"]
    wheels = {(v.wheel, v.wheel_sha256) for v in record.verdicts}
    assert len(rows) == (len(wheels) + 1 if wheels else 0)


@pytest.mark.parametrize("text", ["a", "`", "``a", "a|b", "<b>", "a\nb", "  ", "\x1b[0m"])
def test_a_code_span_holds_any_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"before {span(text)} after")
    kinds = [child.type for child in tokens[1].children or ()]
    assert kinds == (["text", "code_inline", "text"] if text.strip() else ["text"])


def test_what_is_too_long_goes_in_steps_and_is_told() -> None:
    record = make_large_run(200, 20)
    whole = markdown(record, bound=10**9)
    assert "<details>" in whole
    assert whole.count("\n| `") == 200
    without_details = markdown(record, bound=len(whole) - 1)
    assert "<details>" not in without_details
    assert re.search(r"Details of \d+ failures are left out", without_details)
    assert without_details.count("\n| `") == 200
    failing_only = markdown(record, bound=len(without_details) - 1)
    assert re.search(r"Left out: \d+ wheels that passed everywhere", failing_only)
    assert 0 < failing_only.count("\n| `") < 200
    assert "too long for this place" in markdown(record, bound=1000)
    assert len(markdown(record, bound=40)) <= 40


def test_a_file_fits_a_comment(tmp_path: Path) -> None:
    write_markdown(make_large_run(200, 20), tmp_path / "report.md")
    assert len((tmp_path / "report.md").read_text()) <= COMMENT_BOUND


def test_a_summary_is_added_to_what_other_steps_wrote(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# Earlier step\n")
    append_summary(FAILED, path)
    assert path.read_text().startswith("# Earlier step\n\n## Portability of wheels\n")
    with pytest.raises(ReportError, match="no summary written"):
        append_summary(FAILED, tmp_path / "missing" / "summary.md")


def test_failures_become_annotations_on_github_only() -> None:
    assert workflow_annotations(FAILED, {}) == ()
    (line,) = workflow_annotations(FAILED, ON_GITHUB)
    assert line == (
        f"::error title={WHEEL.file} not portable on debian-12 (Python 3.11.2%2C"
        f" pip 23.0.1%2C glibc 2.36)::executable-stack%3A {EXECUTABLE_STACK.message}"
    ).replace("stack%3A", "stack:")


def test_more_failures_than_fit_are_counted() -> None:
    record = make_large_run(30, 10)
    failures = sum(not verdict.outcome.passes for verdict in record.verdicts)
    lines = workflow_annotations(record, ON_GITHUB)
    assert len(lines) == ANNOTATIONS
    assert lines[-1].endswith(f"::{failures - ANNOTATIONS + 1} failures more")


@settings(max_examples=60)
@given(runs())
def test_words_of_a_wheel_issue_no_commands(record: RunRecord) -> None:
    for line in workflow_annotations(record, ON_GITHUB):
        assert line.splitlines() == [line]
        title, message = line.removeprefix("::error title=").split("::", 1)
        assert not re.search("[,:\r\n]", title)
        assert not re.search("%(?!25|0D|0A)", message)


def test_what_was_never_built_is_told_too() -> None:
    verdict = Verdict(
        outcome=Outcome.NOT_PROVEN,
        subject="audit",
        wheel="",
        wheel_sha256="",
        cause=Cause.BUILD,
        reason="gcc said no",
    )
    record = make_run([], [replace(verdict, wheel="<project>")])
    text = markdown(record)
    assert "&lt;project&gt;" in text
    assert "gcc said no" in text


def test_a_releases_rows_stand_below_its_name() -> None:
    lines = [line for line in markdown(make_release_run(3)).splitlines() if line.startswith("|")]
    assert lines[2] == "| **`demo 1.0.0`** | | | | |"
    assert lines[3].startswith("| `cp37-cp37m manylinux_2_28_aarch64` | ✅ |")
    assert len({line.split("|")[1] for line in lines[3:]}) == 90
    parsed = MarkdownIt("commonmark").enable("table").parse("\n".join(lines))
    assert sum(token.type == "tr_open" for token in parsed) == 92
    assert sum(token.type in {"td_open", "th_open"} for token in parsed) == 92 * 5
