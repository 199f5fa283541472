"""Differences between nights, their history, shards and merging."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_records import (
    MISSING_LIBRARY,
    STARTED,
    make_large_run,
    make_observation,
    make_release_run,
    make_run,
    make_verdict,
    make_wheel_record,
    runs,
)

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.run import BuildRecord, RunRecord, SettingRecord, ShardRecord
from pytest_manylinux.model.verdict import Outcome, Tries, Verdict
from pytest_manylinux.report.diff import (
    CellChange,
    History,
    Shift,
    cause_line,
    diff,
    durations,
    keep,
    load_history,
    pair_wheels,
)
from pytest_manylinux.report.page.view import html, page_view
from pytest_manylinux.report.proof import Proof
from pytest_manylinux.report.proof_schema import canonical
from pytest_manylinux.report.shards import balance, merge, parse_shard, shard_record

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl")
REBUILT = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl", b"other bytes")
NEXT = make_wheel_record("demo-1.1-cp311-cp311-manylinux1_x86_64.whl")
TARGET = "debian-12-cp311-x86_64"
BEFORE = make_run([WHEEL], [make_verdict(WHEEL, TARGET)])


def after(**changes: object) -> RunRecord:
    seen = make_observation(TARGET, **changes)
    return make_run([WHEEL], [make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE, observation=seen)])


def test_two_equal_nights_have_no_difference() -> None:
    record = make_large_run(6, 4)
    assert diff(record, replace(record, started=record.started + 86_400)) == ()


def test_a_changed_image_is_the_cause() -> None:
    (found,) = diff(BEFORE, after(image="sha256:new"))
    assert found.change is CellChange.NEWLY_FAILING
    assert [shift.kind for shift in found.causes] == ["image"]
    assert found.causes[0].after == "sha256:new"
    assert cause_line(found) == "only the image changed"


@pytest.mark.parametrize("wheel", [REBUILT, NEXT])
def test_a_changed_wheel_is_the_cause(wheel: object) -> None:
    assert wheel in (REBUILT, NEXT)
    new = REBUILT if wheel is REBUILT else NEXT
    record = make_run([new], [make_verdict(new, TARGET, Outcome.NOT_PORTABLE)])
    (found,) = diff(BEFORE, record)
    assert [shift.kind for shift in found.causes] == ["wheel"]
    assert new.sha256[:12] in found.causes[0].after


def test_interpreter_pip_and_dependencies_are_told_apart() -> None:
    old = make_observation(TARGET).install
    assert old is not None
    install = replace(old, pip_version="24.0", installed=(("numpy", "2.0"), ("demo", "1.0")))
    (found,) = diff(BEFORE, after(python="3.11.9", install=install))
    assert found.causes == (
        Shift("interpreter", "3.11.2", "3.11.9"),
        Shift("pip", "23.0.1", "24.0"),
        Shift("dependency", "numpy absent", "numpy 2.0"),
    )
    assert cause_line(found) == "the interpreter and the pip and the dependency changed"


def test_only_the_tool_changed() -> None:
    (found,) = diff(BEFORE, replace(after(), tool_version="0.2.0"))
    assert found.causes == (Shift("tool", "pytest-manylinux 0.1.0", "pytest-manylinux 0.2.0"),)
    assert cause_line(found) == "only the tool changed"


def test_a_changed_setting_is_told() -> None:
    setting = SettingRecord(name="policy", value="manylinux2014", source="flag")
    (found,) = diff(BEFORE, replace(after(), settings=(setting,)))
    assert found.causes == (Shift("setting", "policy = manylinux1", "policy = manylinux2014"),)


def test_what_fails_with_nothing_changed_comes_and_goes() -> None:
    (found,) = diff(BEFORE, after())
    assert cause_line(found) == "nothing recorded changed: it comes and goes by itself"


FLAKY = Tries(count=1, failed=1, known=7, known_failed=3)


def flaky(record: RunRecord) -> RunRecord:
    return replace(record, verdicts=tuple(replace(v, tries=FLAKY) for v in record.verdicts))


def test_what_is_known_to_be_flaky_is_told_so() -> None:
    words = "flaky: failed 1 of 1 try; with earlier runs: failed 3 of 7"
    for new in (flaky(after()), flaky(after(image="sha256:new"))):
        (found,) = diff(BEFORE, new)
        assert cause_line(found) == words
    (found,) = diff(flaky(after()), BEFORE)
    assert cause_line(found) == words
    (found,) = diff(flaky(after()), replace(BEFORE, verdicts=(mended(),)))
    assert cause_line(found) == "only the image changed", "another image begins at nothing"


def mended() -> Verdict:
    return make_verdict(WHEEL, TARGET, observation=make_observation(TARGET, image="sha256:new"))


def test_the_page_s_nights_count_what_was_flaky() -> None:
    trend = page_view(canonical(BEFORE), history=History((flaky(after()),))).trend
    assert [night.words for night in trend] == ["1 not portable (1 flaky)", "1 portable"]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (Outcome.PORTABLE, Outcome.NOT_PORTABLE, CellChange.NEWLY_FAILING),
        (Outcome.EXPECTED, Outcome.NOT_PORTABLE, CellChange.NEWLY_FAILING),
        (Outcome.NOT_PROVEN, Outcome.NOT_PORTABLE, CellChange.NEWLY_FAILING),
        (Outcome.PORTABLE, Outcome.NOT_PROVEN, CellChange.NEWLY_NOT_PROVEN),
        (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN, CellChange.NEWLY_NOT_PROVEN),
        (Outcome.NOT_PORTABLE, Outcome.PORTABLE, CellChange.FIXED),
        (Outcome.NOT_PROVEN, Outcome.PORTABLE, CellChange.FIXED),
        (Outcome.PORTABLE, Outcome.EXPECTED, None),
        (Outcome.NOT_PROVEN, Outcome.NOT_PROVEN, None),
        (Outcome.NOT_PORTABLE, Outcome.NOT_PORTABLE, None),
    ],
)
def test_what_became_of_a_cell(old: Outcome, new: Outcome, change: CellChange | None) -> None:
    one = make_run([WHEEL], [make_verdict(WHEEL, TARGET, old)])
    two = make_run([WHEEL], [make_verdict(WHEEL, TARGET, new)])
    assert [d.change for d in diff(one, two)] == ([] if change is None else [change])


def test_another_fault_in_the_same_place_is_told() -> None:
    one = make_run([WHEEL], [make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)])
    other = make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE, findings=(MISSING_LIBRARY,))
    assert [d.change for d in diff(one, make_run([WHEEL], [other]))] == [CellChange.FAILS_OTHERWISE]


def test_new_and_gone_cells_are_told() -> None:
    one = make_run([WHEEL], [make_verdict(WHEEL, TARGET), make_verdict(WHEEL, "debian-11-cp39-x86_64")])
    two = make_run(
        [WHEEL], [make_verdict(WHEEL, TARGET), make_verdict(WHEEL, "debian-13-cp313-x86_64")]
    )
    assert [(d.change, d.subject) for d in diff(one, two)] == [
        (CellChange.NEW, "debian-13-cp313-x86_64"),
        (CellChange.GONE, "debian-11-cp39-x86_64"),
    ]


def test_a_next_version_follows_the_earlier_one_if_that_is_plain() -> None:
    new = make_run([NEXT], [make_verdict(NEXT, TARGET)])
    assert pair_wheels(BEFORE, new) == {(NEXT.file, NEXT.sha256): (WHEEL.file, WHEEL.sha256)}
    both = make_run([WHEEL, NEXT], [make_verdict(WHEEL, TARGET), make_verdict(NEXT, TARGET)])
    third = make_wheel_record("demo-2.0-cp311-cp311-manylinux1_x86_64.whl")
    assert pair_wheels(both, make_run([third], [make_verdict(third, TARGET)])) == {}


@settings(max_examples=40)
@given(runs(), runs())
def test_differences_are_the_other_way_round_from_the_other_side(
    one: RunRecord, two: RunRecord
) -> None:
    there = {(d.wheel, d.subject) for d in diff(one, two) if d.change is CellChange.NEW}
    back = {(d.wheel, d.subject) for d in diff(two, one) if d.change is CellChange.GONE}
    assert there == back
    assert diff(one, one) == ()


# ---- history --------------------------------------------------------------------------------------


def test_a_history_keeps_every_night_and_reads_the_newest(tmp_path: Path) -> None:
    for night in range(5):
        keep(replace(BEFORE, started=STARTED + night * 86_400), tmp_path / "nights")
    history = load_history(tmp_path / "nights", nights=3)
    assert [record.started for record in history.records] == [STARTED + n * 86_400 for n in (2, 3, 4)]
    earlier = load_history(tmp_path / "nights", before=STARTED + 2 * 86_400)
    assert len(earlier.records) == 2


def test_two_runs_of_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    paths = {keep(BEFORE, tmp_path) for _ in range(3)}
    assert len(paths) == 3
    assert len(load_history(tmp_path).records) == 3


def test_a_damaged_night_is_told_of_and_stops_nothing(tmp_path: Path) -> None:
    keep(BEFORE, tmp_path)
    (tmp_path / "proof-20200101T000000Z.json").write_text("{")
    history = load_history(tmp_path)
    assert len(history.records) == 1
    assert len(history.unread) == 1
    assert history.unread[0].startswith("proof-20200101T000000Z.json: ")


def test_there_may_be_no_history_yet_but_no_file_in_its_place(tmp_path: Path) -> None:
    assert load_history(tmp_path / "none").records == ()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        load_history(tmp_path / "file")


def test_each_cell_knows_how_it_ended_in_earlier_nights(tmp_path: Path) -> None:
    worse = make_run([WHEEL], [make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)], started=STARTED + 1)
    other = make_run([], [], started=STARTED + 2)
    for record in (BEFORE, worse, other):
        keep(record, tmp_path)
    tonight = make_run([REBUILT], [make_verdict(REBUILT, TARGET)], started=STARTED + 3)
    nights = load_history(tmp_path).nights(tonight)
    cell = ((REBUILT.file, REBUILT.sha256), TARGET)
    assert [night.outcome for night in nights[cell]] == [Outcome.PORTABLE, Outcome.NOT_PORTABLE, None]


def test_durations_are_medians_by_group_and_target() -> None:
    records = []
    for seconds in (1.0, 3.0, 50.0):
        seen = make_observation(TARGET, duration=seconds)
        build = BuildRecord(
            project="demo", python="cp311", policy="manylinux1", builder="zig", duration=seconds * 2
        )
        records.append(
            make_run([WHEEL], [make_verdict(WHEEL, TARGET, observation=seen)], builds=(build,))
        )
    assert durations(records) == {f"{WHEEL.group}::{TARGET}": 3.0, "demo::build-cp311": 6.0}


# ---- shards ---------------------------------------------------------------------------------------

_WEIGHTS = st.dictionaries(st.text("abcdef/", min_size=1), st.none() | st.floats(0, 1000), max_size=40)


@given(_WEIGHTS, st.integers(1, 8))
def test_every_key_is_in_exactly_one_shard(weights: dict[str, float | None], count: int) -> None:
    shards = balance(weights, count)
    assert len(shards) == count
    assert sorted(key for shard in shards for key in shard) == sorted(weights)


@given(_WEIGHTS, st.integers(1, 8), st.randoms())
def test_every_machine_divides_alike(
    weights: dict[str, float | None], count: int, chance: random.Random
) -> None:
    keys = list(weights)
    chance.shuffle(keys)
    assert balance({key: weights[key] for key in keys}, count) == balance(weights, count)


@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.floats(0.1, 100), min_size=1), st.integers(1, 6)
)
def test_no_shard_is_much_longer_than_need_be(weights: dict[str, float], count: int) -> None:
    loads = [sum(weights[key] for key in shard) for shard in balance(weights, count)]
    least = max(sum(weights.values()) / count, *weights.values())
    assert max(loads) <= least * (4 / 3) + max(weights.values()) / 3 + 1e-6


def test_what_has_no_history_counts_as_usual() -> None:
    shards = balance({"a": 10.0, "b": 10.0, "c": None, "d": None}, 2)
    assert sorted(len(shard) for shard in shards) == [2, 2]


@pytest.mark.parametrize(
    "text", ["0/2", "3/2", "1", "1/0", "-1/2", "a/b", "1/2/3", "01/2", "", "1/10000", "1/" + "9" * 5000]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a shard"):
        parse_shard(text)


def test_a_shard_is_written_as_one_of_so_many() -> None:
    assert parse_shard("2/5") == (2, 5)


# ---- merging --------------------------------------------------------------------------------------


def proof(record: RunRecord, digit: str = "0") -> Proof:
    return Proof(record=record, sha256=digit * 64)


def shard_proofs(record: RunRecord, count: int) -> list[Proof]:
    """The proofs that `count` machines would have made of the run."""
    division = balance({wheel.group: None for wheel in record.wheels}, count)
    found = []
    for index, groups in enumerate(division, 1):
        wheels = tuple(w for w in record.wheels if w.group in groups)
        names = {w.file for w in wheels}
        found.append(
            proof(
                replace(
                    record,
                    started=record.started + index,
                    wheels=wheels,
                    verdicts=tuple(v for v in record.verdicts if v.wheel in names),
                    shard=shard_record(index, division),
                ),
                str(index),
            )
        )
    return found


def test_shards_merge_into_the_whole_run() -> None:
    whole = make_large_run(10, 4)
    proofs = shard_proofs(whole, 3)
    random.Random(3).shuffle(proofs)  # noqa: S311 - an order, no secret
    merged = canonical(merge(proofs))
    assert merged.shard is None
    assert merged.wheels == canonical(whole).wheels
    assert merged.verdicts == canonical(whole).verdicts
    assert sorted(m.sha256[0] for m in merged.merged) == ["1", "2", "3"]
    assert merged.started == whole.started + 1


def test_a_missing_shard_is_named() -> None:
    proofs = shard_proofs(make_large_run(10, 2), 4)
    with pytest.raises(UsageError, match=re.escape("shard 2/4, 3/4 is missing")):
        merge([proofs[0], proofs[3]])


def test_shards_of_different_plans_do_not_add_up() -> None:
    one = shard_proofs(make_large_run(10, 2), 2)
    two = shard_proofs(make_large_run(8, 2), 2)
    with pytest.raises(UsageError, match="is missing"):
        merge([one[0], two[1]])


def verdicts_of(*outcomes: Outcome) -> Sequence[Outcome]:
    runs_made = [make_run([WHEEL], [make_verdict(WHEEL, TARGET, outcome)]) for outcome in outcomes]
    return [verdict.outcome for verdict in merge([proof(run) for run in runs_made]).verdicts]


def test_proven_stands_over_not_proven() -> None:
    assert verdicts_of(Outcome.NOT_PROVEN, Outcome.PORTABLE) == [Outcome.PORTABLE]
    assert verdicts_of(Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN) == [Outcome.NOT_PORTABLE]
    assert verdicts_of(Outcome.NOT_PROVEN, Outcome.NOT_PROVEN) == [Outcome.NOT_PROVEN]


def test_runs_that_disagree_are_both_kept() -> None:
    assert set(verdicts_of(Outcome.PORTABLE, Outcome.NOT_PORTABLE)) == {
        Outcome.PORTABLE,
        Outcome.NOT_PORTABLE,
    }


def test_settings_that_differ_are_all_told() -> None:
    def with_policy(value: str) -> Proof:
        return proof(make_run(settings=(SettingRecord(name="policy", value=value, source="flag"),)))

    (setting,) = merge([with_policy("manylinux1"), with_policy("manylinux2014")]).settings
    assert setting.value == "manylinux1 | manylinux2014"


def test_merging_what_was_merged_names_the_first_origins() -> None:
    once = merge([proof(BEFORE, "1"), proof(BEFORE, "2")])
    twice = merge([proof(once, "3"), proof(BEFORE, "4")])
    assert [origin.sha256[0] for origin in twice.merged] == ["1", "2", "4"]


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(UsageError, match="nothing to merge"):
        merge([])


def test_one_of_one_is_a_whole_run() -> None:
    record = replace(BEFORE, shard=ShardRecord(index=1, count=1, plan="x"))
    assert merge([proof(record)]).shard is None


def test_the_page_has_a_releases_name_once_over_its_rows() -> None:
    record = canonical(make_release_run(2))
    view = page_view(record)
    assert [row.heading for row in view.rows] == ["demo 1.0.0", *[""] * 89]
    assert len({row.label for row in view.rows}) == 90
    first = view.rows[0].cells[0]
    assert first is not None
    assert first.label == "portable: demo 1.0.0 cp37-cp37m manylinux_2_28_aarch64, audit"
    text = html(record)
    assert text.count('<tr class="release">') == 1
    assert text.count("<tr data-w=") == 90
