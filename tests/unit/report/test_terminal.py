from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_records import (
    EXECUTABLE_STACK,
    make_large_run,
    make_observation,
    make_release_run,
    make_run,
    make_verdict,
    make_wheel_record,
    runs,
)

from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus, InstallOutcome
from pytest_manylinux.model.run import BuildRecord, RunRecord
from pytest_manylinux.model.verdict import Cause, Ignored, Outcome, Severity, Tries
from pytest_manylinux.report.markdown import markdown
from pytest_manylinux.report.matrix import grid
from pytest_manylinux.report.phrases import tries_words
from pytest_manylinux.report.terminal import can_show_marks, matrix, verdict_text, warning_lines

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.whl")
TARGET = "debian-13-cp313-x86_64"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def test_twelve_wheels_on_twenty_distros_fit_eighty_columns() -> None:
    lines = matrix(make_large_run(12, 20), width=80, color=False).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith("╮")  # the labels stand on a staircase
    assert sum("╮" in line for line in lines) == 21  # twenty distros and the audit
    rows = [line for line in lines if line.startswith(("package-", "package_"))]
    assert len(rows) == 12
    assert len({row.split("  ")[0] for row in rows}) == 12


def test_a_stroke_leads_from_each_label_to_its_marks() -> None:
    lines = matrix(make_large_run(3, 20), width=80, color=False).splitlines()
    steps = [line for line in lines if "╮" in line]
    places = [line.index("╮") for line in steps]
    assert places == sorted(places, reverse=True)
    marks = next(line for line in lines if line.startswith("package_"))
    assert all(marks[place] in "✓✗e?·" for place in places)


def test_few_distros_have_their_names_above() -> None:
    record = make_run([WHEEL], [make_verdict(WHEEL, "audit"), make_verdict(WHEEL, TARGET)])
    assert matrix(record, width=80, color=False).splitlines() == [
        "                                         debian-13",
        "wheel                             audit    cp313",
        "demo 1.0 cp311 manylinux1_x86_64    ✓        ✓",
        "",
        "1 wheel (1 passes), 1 distro, 2 verdicts:  ✓ portable 2",
    ]


@settings(max_examples=60)
@given(runs(), st.integers(40, 120), st.booleans())
def test_no_line_is_wider_than_the_terminal(record: RunRecord, width: int, unicode: bool) -> None:  # noqa: FBT001
    text = matrix(record, width=width, color=False, unicode=unicode)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text
    if not unicode:
        assert text.isascii()


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("UTF-8", True), ("ascii", False), ("latin-1", False), ("gb18030", True)],
)
def test_marks_are_shown_where_the_terminal_can(encoding: str, can: bool) -> None:  # noqa: FBT001
    assert can_show_marks(encoding) is can


@pytest.mark.parametrize("encoding", [None, "", "no such encoding"])
def test_an_unknown_terminal_gets_plain_letters(encoding: str | None) -> None:
    assert not can_show_marks(encoding)


def test_colour_adds_nothing_but_colour() -> None:
    record = make_large_run(5, 4)
    coloured = matrix(record, width=100, color=True)
    plain = matrix(record, width=100, color=False)
    assert "\x1b[" in coloured
    assert [ESCAPE.sub("", line).rstrip() for line in coloured.splitlines()] == plain.splitlines()


def test_every_outcome_has_its_mark_and_its_count() -> None:
    targets = [f"debian-1{n}-cp311-x86_64" for n in range(4)]
    record = make_run(
        [WHEEL], [make_verdict(WHEEL, t, o) for t, o in zip(targets, Outcome, strict=True)]
    )
    text = matrix(record, width=100, color=False)
    for words in ("✓ portable 1", "✗ not portable 1", "e expected fault 1", "? not proven 1"):
        assert words in text


def test_wheels_of_several_pythons_share_a_distros_column() -> None:
    old = make_wheel_record("demo-1.0-cp39-cp39-manylinux1_x86_64.whl")
    record = make_run(
        [WHEEL, old],
        [make_verdict(WHEEL, "alma-9-cp311-x86_64"), make_verdict(old, "alma-9-cp39-x86_64")],
    )
    assert "1 distro, 2 verdicts:" in matrix(record, width=80, color=False)


def test_a_wheel_tried_on_two_interpreters_of_a_distro_has_a_column_for_each() -> None:
    abi3 = make_wheel_record("demo-1.0-cp39-abi3-manylinux1_x86_64.whl")
    record = make_run(
        [abi3],
        [
            make_verdict(abi3, "alma-9-cp311-x86_64"),
            make_verdict(abi3, "alma-9-cp39-x86_64", Outcome.NOT_PORTABLE),
        ],
    )
    lines = matrix(record, width=80, color=False).splitlines()
    assert lines[1].split() == ["wheel", "cp39", "cp311"]  # in the order of versions
    assert lines[2].split()[-2:] == ["✗", "✓"]


def test_of_two_verdicts_in_one_cell_the_worse_is_shown() -> None:
    record = make_run(
        [WHEEL], [make_verdict(WHEEL, TARGET), make_verdict(WHEEL, TARGET, Outcome.NOT_PROVEN)]
    )
    assert "?" in matrix(record, width=80, color=False).splitlines()[2]


def test_a_wheel_audited_twice_with_one_result_counts_once() -> None:
    verdicts = [make_verdict(WHEEL, "audit"), make_verdict(WHEEL, "audit"), make_verdict(WHEEL, TARGET)]
    assert "✓ portable 2" in matrix(make_run([WHEEL], verdicts), width=80, color=False)


NAME = "demo-1.0-cp39-abi3-manylinux_2_17_x86_64.whl"


@pytest.mark.parametrize(
    ("groups", "marks"),
    [
        ((f"old/{NAME}", f"new/{NAME}"), ("(old)", "(new)")),
        ((f"dist/{NAME}", f"dist/{NAME}"), ("(aaaaaaaa)", "(bbbbbbbb)")),
        ((NAME, f"new/{NAME}"), ("(.)", "(new)")),
    ],
)
@pytest.mark.parametrize("others", [0, 12])
def test_files_of_one_name_are_told_apart(
    groups: tuple[str, str], marks: tuple[str, str], others: int
) -> None:
    """By the folders that they were given in, or, in a proof of several runs, by their digests."""
    wheel = make_wheel_record(NAME)
    digests = ("a" * 64, "b" * 64)
    wheels = [
        replace(wheel, sha256=digest, group=group)
        for digest, group in zip(digests, groups, strict=True)
    ]
    wheels += [make_wheel_record(f"demo-1.0-cp3{n}-cp3{n}-linux_x86_64.whl") for n in range(others)]
    record = make_run(wheels, [make_verdict(one, TARGET) for one in wheels])

    for text in (matrix(record, width=80, color=False), markdown(record)):
        lines = [line for line in text.splitlines() if "abi3" in line]
        assert [[mark in line for mark in marks] for line in lines] == [[True, False], [False, True]]
    assert all(len(line) <= 80 for line in matrix(record, width=80, color=False).splitlines())


def test_what_was_never_built_is_a_row_all_the_same() -> None:
    missing = replace(
        make_verdict(WHEEL, "trial[no-target]", Outcome.NOT_PROVEN, cause=Cause.NO_TARGET),
        wheel="broken_project",
        wheel_sha256="",
        observation=None,
    )
    text = matrix(make_run([], [missing]), width=80, color=False)
    assert re.search(r"^broken_project +\?$", text, re.MULTILINE)


def test_what_has_no_target_is_not_shown_in_the_audits_column() -> None:
    wheel = make_wheel_record("other-1.0-cp35-cp35m-manylinux1_x86_64.whl")
    untargeted = make_verdict(wheel, "trial[no-target]", Outcome.NOT_PROVEN, cause=Cause.NO_TARGET)
    others = [make_verdict(one, "audit") for one in (WHEEL, wheel)]
    others.append(make_verdict(WHEEL, TARGET))
    lines = matrix(make_run([WHEEL, wheel], [*others, untargeted]), width=90, color=False).splitlines()
    assert lines[2].split()[-2:] == ["✓", "✓"]
    assert lines[3].split()[-2:] == ["✓", "?"]
    assert lines[-1] == "2 wheels (1 passes), 1 distro, 4 verdicts:  ✓ portable 3  ? not proven 1"


def test_a_failed_build_has_a_mark_of_its_own_and_is_not_a_wheel() -> None:
    unbuilt = [
        replace(
            make_verdict(WHEEL, subject, Outcome.NOT_PROVEN, cause=Cause.BUILD, observation=None),
            wheel="broken_project",
            wheel_sha256="",
        )
        for subject in ("audit", TARGET)
    ]
    text = matrix(make_run([WHEEL], [*unbuilt, make_verdict(WHEEL, TARGET)]), width=90, color=False)
    assert re.search("^broken_project +\u2013 +\u2013$", text, re.MULTILINE)
    assert text.splitlines()[-1] == (
        "1 wheel (1 passes), 1 without a wheel, 1 distro, 3 verdicts:  ✓ portable 1  \u2013 not built 2"
    )
    assert "- not built 2" in matrix(make_run([], unbuilt), width=90, color=False, unicode=False)


def test_warnings_of_wheels_that_pass_are_told_once_with_their_places() -> None:
    warning = replace(EXECUTABLE_STACK, severity=Severity.WARNING)
    note = replace(EXECUTABLE_STACK, name="names-left-out", severity=Severity.INFORMATION)
    places = ["audit", TARGET, "debian-12-cp311-x86_64"]
    verdicts = [make_verdict(WHEEL, place, findings=(warning, note)) for place in places]
    failing = make_verdict(WHEEL, "alma-9-cp39-x86_64", Outcome.NOT_PORTABLE)
    record = make_run([WHEEL], [*verdicts, replace(failing, findings=(*failing.findings, warning))])
    told = f"[audit, {TARGET}, debian-12-cp311-x86_64]"
    assert warning_lines(record, verbosity=-1) == []
    assert warning_lines(record, verbosity=0) == [
        "warnings of wheels that pass: executable-stack 1; -v shows it"
    ]
    other = replace(make_verdict(WHEEL, TARGET), findings=(replace(warning, name="unstripped"), note))
    more = make_run(
        [WHEEL], [other, *verdicts, replace(verdicts[0], wheel="other-1.0-py3-none-any.whl")]
    )
    assert warning_lines(more, verbosity=0) == [
        "warnings of wheels that pass: executable-stack 2, unstripped 1; -v shows them"
    ]
    assert warning_lines(record, verbosity=1) == [
        "warnings of wheels that pass:",
        f"  {WHEEL.file}",
        f"    executable-stack: {warning.message} {told}",
    ]
    assert warning_lines(record, verbosity=2)[3:] == [
        f"    names-left-out (information): {warning.message} {told}"
    ]
    assert warning_lines(make_run([WHEEL], [failing]), verbosity=1) == []


def test_a_row_without_a_name_says_so() -> None:
    nameless = replace(make_verdict(WHEEL, TARGET, Outcome.NOT_PROVEN), wheel="", wheel_sha256="")
    assert "(no wheel)" in matrix(make_run([], [nameless]), width=80, color=False)
    assert verdict_text(nameless).startswith("(no wheel): not proven on debian-13")


def test_a_run_without_verdicts_has_no_table() -> None:
    assert matrix(make_run(), width=80, color=False) == ""


def test_a_failure_says_what_where_why_and_what_to_do() -> None:
    text = verdict_text(make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE))
    lines = text.splitlines()
    assert lines[0] == (
        f"{WHEEL.file}: not portable on debian-13 (Python 3.13.2, pip 23.0.1, glibc 2.36)"
    )
    assert f"ML107 executable-stack: {EXECUTABLE_STACK.message}" in lines
    assert "  demo/_native.so: PT_GNU_STACK is RWE" in lines
    assert "  remedy: link with -Wl,-z,noexecstack" in lines
    assert "  more: pytest-manylinux explain executable-stack" in lines


def test_what_was_compiled_for_a_trial_is_said_with_its_place() -> None:
    verdict = make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)
    assert verdict.observation is not None
    compiled = (("numpy", "2.4.6"), ("pillow", "12.0"))
    verdict = replace(verdict, observation=replace(verdict.observation, compiled=compiled))
    first = verdict_text(verdict).splitlines()[0]
    assert first.endswith("with numpy 2.4.6, pillow 12.0 (compiled, for want of a wheel))")


def test_the_policy_that_auto_came_to_is_said_with_its_cause() -> None:
    build = BuildRecord(
        project="/here/demo",
        python="cp311",
        policy="manylinux2014",
        builder="zig",
        policy_why="std::align_val_t wants glibc 2.16",
    )
    said = "built for manylinux2014: std::align_val_t wants glibc 2.16"
    verdict = make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)
    assert verdict_text(verdict, build=build).splitlines()[1] == f"  {said}"
    builds = (build, replace(build, python="cp312"), replace(build, project="other", policy_why=""))
    lines = matrix(replace(make_run([WHEEL], [verdict]), builds=builds), width=100, color=False)
    assert [line for line in lines.splitlines() if "policy" in line] == [f"policy: demo: {said}"]


def _failed_import() -> ImportOutcome:
    return ImportOutcome(
        name="demo",
        kind=ImportKind.TOP_LEVEL,
        status=ImportStatus.RAISED,
        traceback="Traceback (most recent call last):\n  deep inside\nImportError: no",
    )


def test_the_long_texts_are_shown_on_request() -> None:
    install = InstallOutcome(
        ok=False,
        pip_version="23.0.1",
        exit_code=1,
        output="ERROR: no matching distribution",
        duration=1,
    )
    verdict = make_verdict(
        WHEEL,
        TARGET,
        Outcome.NOT_PORTABLE,
        observation=make_observation(TARGET, imports=(_failed_import(),), install=install),
    )
    short, full = verdict_text(verdict), verdict_text(verdict, full=True)
    assert "deep inside" not in short
    assert short.endswith("-vv")
    assert "deep inside" in full
    assert "--- pip install, exit code 1\nERROR: no matching distribution" in full


def test_more_evidence_than_fits_is_counted() -> None:
    finding = replace(EXECUTABLE_STACK, evidence=tuple(f"file {n}" for n in range(20)))
    verdict = make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE, findings=(finding,))
    assert "  … 14 more, with -vv" in verdict_text(verdict)
    assert "file 19" in verdict_text(verdict, full=True)


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_words(cause: Cause) -> None:
    text = verdict_text(make_verdict(WHEEL, TARGET, Outcome.NOT_PROVEN, cause=cause))
    because = re.search(r"^  because (.+)$", text, re.MULTILINE)
    assert because is not None
    assert because[1] != cause.value
    assert "nothing came back within 300 s" in text


def test_errors_come_before_warnings_and_what_is_ignored() -> None:
    warning = replace(EXECUTABLE_STACK, name="oversized", severity=Severity.WARNING)
    verdict = make_verdict(
        WHEEL,
        TARGET,
        Outcome.NOT_PORTABLE,
        findings=(warning, EXECUTABLE_STACK),
        ignored=(Ignored(finding=replace(EXECUTABLE_STACK, name="unstripped"), reason="wanted"),),
    )
    text = verdict_text(verdict)
    assert text.index("executable-stack") < text.index("oversized (warning)") < text.index("unstripped")
    assert "  reason: wanted" in text


@settings(max_examples=60)
@given(runs())
def test_words_of_a_wheel_cannot_steer_the_terminal(record: RunRecord) -> None:
    for verdict in record.verdicts:
        text = verdict_text(verdict, full=True)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)


@pytest.mark.parametrize(
    ("tries", "words"),
    [
        (Tries(count=12, failed=12, known=12, known_failed=12), "failed 12 of 12 tries"),
        (Tries(count=1, failed=1, known=1, known_failed=1), "failed 1 of 1 try"),
        (Tries(count=3, failed=0, known=3, known_failed=0), "passed all 3 tries"),
        (
            Tries(count=3, failed=1, known=9, known_failed=4),
            "failed 1 of 3 tries; with earlier runs: failed 4 of 9",
        ),
    ],
)
def test_tries_in_words(tries: Tries, words: str) -> None:
    assert tries_words(tries) == words


def test_the_end_of_a_run_counts_what_was_repeated_and_what_was_remembered() -> None:
    seen = replace(make_observation(TARGET), remembered=True)
    tries = Tries(count=4, failed=1, known=4, known_failed=1)
    other = make_verdict(WHEEL, "debian-12-cp311-x86_64", Outcome.NOT_PORTABLE, tries=tries)
    record = make_run([WHEEL], [make_verdict(WHEEL, TARGET, observation=seen), other])
    lines = matrix(record, width=80, color=False).splitlines()
    assert lines[-2:] == [
        "repeated: 1 trial, 4 tries, 1 failed",
        "remembered: 1 of 2 trials, seen by earlier runs",
    ]


def test_a_release_of_90_wheels_for_eight_architectures_is_whole_in_80_columns() -> None:
    lines = matrix(make_release_run(16), width=80, color=False).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines.count("demo 1.0.0") == 1
    assert sum("╮" in line for line in lines) == 17  # the audit, and each distro once
    rows = [line for line in lines if re.match("  (cp|pp)3", line)]
    labels = {" ".join(row.split()[:2]) for row in rows}
    assert len(rows) == len(labels) == 90
    assert "cp314t loongarch64" in labels
    assert "pp311-pypy311_pp73 riscv64" in labels


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(60, 120))
def test_columns_that_do_not_fit_next_to_the_tags_follow_in_blocks(distros: int, width: int) -> None:
    record = make_release_run(distros)
    lines = matrix(record, width=width, color=False).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    rows = [line.split() for line in lines if re.match("  (cp|pp)3", line)]
    blocks = lines.count("demo 1.0.0")
    assert len(rows) == 90 * blocks
    names = [row[: next(i for i, word in enumerate(row) if set(word) <= set("✓✗e?·"))] for row in rows]
    assert len({tuple(name) for name in names}) == 90
    marks = sum(len("".join(row[len(name) :])) for row, name in zip(rows, names, strict=True))
    assert marks == 90 * (distros + 1)


def test_a_wheel_for_any_architecture_has_columns_that_name_it() -> None:
    pure = make_wheel_record("demo-1.0-py3-none-any.whl")
    arm = make_wheel_record("demo-1.0-cp311-cp311-manylinux2014_aarch64.whl")
    record = make_run(
        [pure, arm],
        [
            make_verdict(pure, "alma-9-cp311-x86_64"),
            make_verdict(arm, "alma-9-cp311-aarch64"),
            make_verdict(pure, "debian-12-cp311-x86_64"),
        ],
    )
    columns = [(column.distro, column.arch) for column in grid(record).columns]
    assert columns == [("alma-9", ""), ("alma-9", "x86_64"), ("debian-12", "x86_64")]
