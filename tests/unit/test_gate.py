from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_records import (
    EXECUTABLE_STACK,
    STARTED,
    make_distro,
    make_observation,
    make_run,
    make_verdict,
    make_wheel,
    make_wheel_record,
    runs,
)

from pytest_manylinux.artifacts import Artifact, ArtifactKind
from pytest_manylinux.config.settings import GateRule
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.gate import DAY, Decision, Demand, Ruling, decide, demand
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.observation import SuiteOutcome
from pytest_manylinux.model.run import RunRecord, ShardRecord, WheelRecord
from pytest_manylinux.model.verdict import Cause, Ignored, Outcome, Verdict

ABI3 = make_wheel_record("demo-1.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
CP311 = make_wheel_record("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
TARGETS = ("debian-11-cp39-x86_64", "debian-12-cp311-x86_64", "debian-13-cp313-x86_64")
NOW = STARTED + DAY


def artifact(record: WheelRecord, **changes: object) -> Artifact:
    wheel = make_wheel(record.file)
    found = Artifact(path=wheel.path, sha256=record.sha256, kind=ArtifactKind.WHEEL, tags=wheel.tags)
    return replace(found, **changes)  # type: ignore[arg-type]


def proven(record: WheelRecord, targets: tuple[str, ...] = TARGETS) -> list[Verdict]:
    return [make_verdict(record, "audit"), *(make_verdict(record, target) for target in targets)]


def rule_on(
    file: Artifact,
    record: RunRecord,
    rule: GateRule | None = None,
    *,
    required: tuple[Distro, ...] | None = None,
    now: float = NOW,
) -> Ruling:
    wanted = record.distros if required is None else required
    return decide([file], record, rule or GateRule(), required=wanted, now=now).rulings[0]


def against(ruling: Ruling) -> list[str]:
    return [reason.text for reason in ruling.reasons if reason.code is not ExitCode.OK]


def test_a_wheel_that_is_proven_everywhere_passes() -> None:
    ruling = rule_on(artifact(ABI3), make_run([ABI3], proven(ABI3)))
    assert ruling.code is ExitCode.OK
    assert [reason.text for reason in ruling.reasons] == [
        "audit: portable",
        *(f"{target}: portable" for target in TARGETS),
    ]


def test_one_changed_byte_refuses() -> None:
    ruling = rule_on(artifact(ABI3, sha256="0" * 64), make_run([ABI3], proven(ABI3)))
    assert ruling.code is ExitCode.NOT_PROVEN
    assert against(ruling) == [
        (
            "the proof is of other bytes under this name; upload those, or prove these: "
            "`pytest --manylinux FILE --manylinux-proof=PROOF`"
        )
    ]


def test_the_same_bytes_under_another_name_are_refused() -> None:
    other = "demo-1.0-cp39-abi3-manylinux1_x86_64.whl"
    ruling = rule_on(artifact(ABI3, path=Path(other)), make_run([ABI3], proven(ABI3)))
    assert ruling.code is ExitCode.NOT_PROVEN
    assert "proven under another name" in against(ruling)[0]


def test_a_wheel_that_the_proof_does_not_know_is_refused() -> None:
    ruling = rule_on(artifact(CP311), make_run([ABI3], proven(ABI3)))
    assert ruling.code is ExitCode.NOT_PROVEN
    assert "does not know these bytes" in against(ruling)[0]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.NOT_PORTABLE, ExitCode.NOT_PORTABLE),
        (Outcome.NOT_PROVEN, ExitCode.NOT_PROVEN),
        (Outcome.EXPECTED, ExitCode.NOT_PORTABLE),
    ],
)
@pytest.mark.parametrize("subject", ["audit", TARGETS[1]])
def test_one_bad_verdict_refuses(subject: str, outcome: Outcome, code: ExitCode) -> None:
    verdicts = [v for v in proven(ABI3) if v.subject != subject]
    record = make_run([ABI3], [*verdicts, make_verdict(ABI3, subject, outcome)])
    ruling = rule_on(artifact(ABI3), record)
    assert ruling.code is code
    assert len(against(ruling)) == 1
    assert against(ruling)[0].startswith(f"{subject}: ")


def test_not_portable_outweighs_not_proven() -> None:
    verdicts = [
        make_verdict(ABI3, "audit"),
        make_verdict(ABI3, TARGETS[0], Outcome.NOT_PROVEN),
        make_verdict(ABI3, TARGETS[1], Outcome.NOT_PORTABLE),
    ]
    assert rule_on(artifact(ABI3), make_run([ABI3], verdicts)).code is ExitCode.NOT_PORTABLE


def test_a_distro_that_was_asked_for_but_not_tried_refuses() -> None:
    record = make_run(
        [ABI3],
        proven(ABI3, TARGETS[:2]),
        distros=tuple(map(make_distro, ("debian-11", "debian-12", "debian-13"))),
    )
    ruling = rule_on(artifact(ABI3), record)
    assert ruling.code is ExitCode.NOT_PROVEN
    assert against(ruling) == ["debian-13: required, and not in the proof"]


def test_a_distro_of_another_python_is_not_asked() -> None:
    record = make_run(
        [CP311],
        proven(CP311, TARGETS[1:2]),
        distros=tuple(map(make_distro, ("debian-11", "debian-12"))),
    )
    ruling = rule_on(artifact(CP311), record)
    assert ruling.code is ExitCode.OK
    assert "debian-11: not asked, its Python is another one" in [r.text for r in ruling.reasons]


def test_a_distro_below_requires_python_is_not_asked() -> None:
    record = make_run(
        [ABI3], proven(ABI3, TARGETS[1:2]), distros=tuple(map(make_distro, ("debian-11", "debian-12")))
    )
    assert rule_on(artifact(ABI3, requires_python=">=3.10"), record).code is ExitCode.OK
    assert rule_on(artifact(ABI3), record).code is ExitCode.NOT_PROVEN


def test_a_required_distro_that_is_too_old_for_the_policy_refuses_as_not_portable() -> None:
    new = make_wheel_record("demo-1.0-cp39-abi3-manylinux_2_39_x86_64.whl")
    record = make_run([new], proven(new, TARGETS[2:]))
    required = (make_distro("debian-12"), make_distro("debian-13"))
    ruling = rule_on(artifact(new), record, GateRule(require=("x",)), required=required)
    assert ruling.code is ExitCode.NOT_PORTABLE
    assert against(ruling) == [
        "debian-12: required, but its C library is older than the wheel's policy (it has glibc 2.36)"
    ]


def test_with_named_distros_only_those_count() -> None:
    record = make_run(
        [ABI3], [*proven(ABI3, TARGETS[:2]), make_verdict(ABI3, TARGETS[2], Outcome.NOT_PORTABLE)]
    )
    named = GateRule(require=("debian-12",))
    required = (make_distro("debian-12"),)
    assert rule_on(artifact(ABI3), record, named, required=required).code is ExitCode.OK
    assert rule_on(artifact(ABI3), record).code is ExitCode.NOT_PORTABLE


def test_every_interpreter_of_a_required_distro_must_pass() -> None:
    record = make_run(
        [ABI3],
        [
            make_verdict(ABI3, "audit"),
            make_verdict(ABI3, "debian-12-cp311-x86_64"),
            make_verdict(ABI3, "debian-12-cp312-x86_64", Outcome.NOT_PORTABLE),
        ],
    )
    assert rule_on(artifact(ABI3), record).code is ExitCode.NOT_PORTABLE


def test_a_wheel_without_any_trial_is_refused_though_nobody_asks_for_one() -> None:
    record = make_run([CP311], [make_verdict(CP311, "audit")], distros=(make_distro("debian-11"),))
    ruling = rule_on(artifact(CP311), record)
    assert ruling.code is ExitCode.NOT_PROVEN
    assert against(ruling) == ["no trial of it passed anywhere"]


def test_a_missing_audit_refuses() -> None:
    ruling = rule_on(artifact(ABI3), make_run([ABI3], proven(ABI3)[1:]))
    assert ruling.code is ExitCode.NOT_PROVEN
    assert against(ruling) == ["its audit is not in the proof"]


def test_a_shard_alone_is_no_proof() -> None:
    record = make_run([ABI3], proven(ABI3), shard=ShardRecord(index=2, count=5, plan="x"))
    ruling = rule_on(artifact(ABI3), record)
    assert ruling.code is ExitCode.NOT_PROVEN
    assert "part 2 of 5" in against(ruling)[0]
    whole = make_run([ABI3], proven(ABI3), shard=ShardRecord(index=1, count=1, plan="x"))
    assert rule_on(artifact(ABI3), whole).code is ExitCode.OK


def test_faults_that_were_waved_through_want_a_word_of_the_rules() -> None:
    ignored = make_verdict(
        ABI3, TARGETS[1], ignored=(Ignored(finding=EXECUTABLE_STACK, reason="old hardware only"),)
    )
    declared = make_verdict(ABI3, TARGETS[2], Outcome.EXPECTED)
    record = make_run([ABI3], [*proven(ABI3, TARGETS[:1]), ignored, declared])
    assert against(rule_on(artifact(ABI3), record)) == [
        f"{TARGETS[1]}: portable with ignored findings (executable-stack) (allow-ignored = false)",
        f"{TARGETS[2]}: a declared fault (executable-stack) (allow-ignored = false)",
    ]
    allowed = rule_on(artifact(ABI3), record, GateRule(allow_ignored=True))
    assert allowed.code is ExitCode.OK


def test_a_verdict_grows_too_old() -> None:
    record = make_run([ABI3], proven(ABI3))
    rule = GateRule(max_age=7)
    assert rule_on(artifact(ABI3), record, rule, now=STARTED + 6.9 * DAY).code is ExitCode.OK
    late = rule_on(artifact(ABI3), record, rule, now=STARTED + 7.1 * DAY)
    assert late.code is ExitCode.NOT_PROVEN
    assert "7.1 days ago (max-age is 7 days)" in against(late)[0]


def test_the_age_is_that_of_each_trial_not_of_the_run() -> None:
    old = make_verdict(
        ABI3, TARGETS[1], observation=make_observation(TARGETS[1], started=STARTED - 30 * DAY)
    )
    record = make_run([ABI3], [*proven(ABI3, TARGETS[:1]), old])
    ruling = rule_on(artifact(ABI3), record, GateRule(max_age=7))
    assert len(against(ruling)) == 1
    assert against(ruling)[0].startswith(f"{TARGETS[1]}: portable, but 31.0 days ago")


def test_a_proof_from_the_future_is_not_believed() -> None:
    ruling = rule_on(artifact(ABI3), make_run([ABI3], proven(ABI3)), now=STARTED - DAY)
    assert ruling.code is ExitCode.NOT_PROVEN
    assert "a clock is wrong" in against(ruling)[0]


def test_a_source_distribution_passes_and_anything_else_does_not() -> None:
    record = make_run([ABI3], proven(ABI3))
    sdist = Artifact(path=Path("demo-1.0.tar.gz"), sha256="1" * 64, kind=ArtifactKind.SDIST)
    other = Artifact(
        path=Path("notes.txt"),
        sha256="2" * 64,
        kind=ArtifactKind.OTHER,
        problem="its name ends in .txt",
    )
    assert rule_on(sdist, record).code is ExitCode.OK
    assert rule_on(other, record).code is ExitCode.NOT_PROVEN


def test_wheels_for_other_systems_want_a_word_of_the_rules() -> None:
    record = make_run([ABI3], proven(ABI3))
    windows = artifact(make_wheel_record("demo-1.0-cp311-cp311-win_amd64.whl"))
    assert rule_on(windows, record).code is ExitCode.NOT_PROVEN
    assert rule_on(windows, record, GateRule(other_platforms="allow")).code is ExitCode.OK
    # the word does not open the door for a wheel that runs on Linux as well
    both = artifact(make_wheel_record("demo-1.0-cp311-cp311-win_amd64.manylinux1_x86_64.whl"))
    assert rule_on(both, record, GateRule(other_platforms="allow")).code is ExitCode.NOT_PROVEN


def test_no_files_are_never_a_pass() -> None:
    assert decide([], make_run(), GateRule(), required=(), now=NOW).code is ExitCode.NOT_PROVEN


@pytest.mark.parametrize(
    ("wheel", "distro", "expected"),
    [
        ("demo-1-py3-none-any.whl", "debian-12", Demand.TRIAL),
        ("demo-1-cp311-cp311-manylinux_2_36_x86_64.whl", "debian-12", Demand.TRIAL),
        ("demo-1-cp311-cp311-manylinux_2_37_x86_64.whl", "debian-12", Demand.TOO_OLD),
        (
            "demo-1-cp311-cp311-manylinux_2_37_x86_64.manylinux2014_x86_64.whl",
            "debian-12",
            Demand.TRIAL,
        ),
        ("demo-1-cp312-cp312-manylinux1_x86_64.whl", "debian-12", Demand.OTHER_PYTHON),
        ("demo-1-cp311-cp311-manylinux2014_aarch64.whl", "debian-12", Demand.OTHER_PLATFORM),
        ("demo-1-cp311-cp311-musllinux_1_2_x86_64.whl", "debian-12", Demand.OTHER_PLATFORM),
        ("demo-1-cp39-abi3-manylinux1_x86_64.whl", "debian-13", Demand.TRIAL),
        ("demo-1-py3-none-manylinux1_x86_64.whl", "debian-11", Demand.TRIAL),
    ],
)
def test_what_a_distro_asks_of_a_wheel(wheel: str, distro: str, expected: Demand) -> None:
    assert demand(make_wheel(wheel).tags, "", make_distro(distro)) is expected


def test_names_that_were_not_imported_are_told_of_what_passes() -> None:
    seen = make_observation(target=TARGETS[1])
    verdicts = [
        replace(one, observation=replace(seen, left_out=("demo.gui", "more")))
        if one.subject == TARGETS[1]
        else one
        for one in proven(CP311, TARGETS[1:2])
    ]
    ruling = rule_on(artifact(CP311), make_run([CP311], verdicts), required=())
    assert ruling.code is ExitCode.OK
    assert f"{TARGETS[1]}: portable; not imported, by its settings: demo.gui, more" in [
        reason.text for reason in ruling.reasons
    ]


@given(runs(), st.booleans(), st.sampled_from([0.0, 7.0]))
def test_what_passes_has_a_good_verdict_everywhere_that_was_asked_for(
    record: RunRecord,
    allow_ignored: bool,  # noqa: FBT001
    max_age: float,
) -> None:
    rule = GateRule(allow_ignored=allow_ignored, max_age=max_age)
    for wheel in record.wheels:
        ruling = rule_on(artifact(wheel), record, rule)
        if ruling.code is not ExitCode.OK:
            assert against(ruling)
            continue
        mine = [v for v in record.verdicts if v.wheel_sha256 == wheel.sha256]
        good = {Outcome.PORTABLE, Outcome.EXPECTED} if allow_ignored else {Outcome.PORTABLE}
        assert {v.outcome for v in mine} <= good
        assert any(v.subject == "audit" for v in mine)
        assert any(v.subject != "audit" for v in mine)
        assert record.shard is None


MUSL = make_wheel_record("demo-1.0-cp311-cp311-musllinux_1_2_x86_64.whl")
NO_MUSL = "it is for Linux with musl"
UNTRIED = make_verdict(
    MUSL, "trial[no-target]", Outcome.NOT_PROVEN, cause=Cause.NO_TARGET, reason=NO_MUSL
)
RELEASE = make_run(
    [ABI3, CP311, MUSL],
    [
        *proven(ABI3),
        *proven(CP311, ("debian-12-cp311-x86_64",)),
        make_verdict(MUSL, "audit"),
        UNTRIED,
    ],
)


def decision(record: RunRecord, rule: GateRule, required: tuple[Distro, ...] | None = None) -> Decision:
    files = [artifact(wheel) for wheel in record.wheels]
    wanted = record.distros if required is None else required
    return decide(files, record, rule, required=wanted, now=NOW)


def test_wheels_that_nothing_could_take_are_counted_and_refuse() -> None:
    found = decision(RELEASE, GateRule())
    assert found.code is ExitCode.NOT_PROVEN
    assert found.coverage_lines() == [
        "1 of 3 wheels of this release was not proven:",
        f"  1: not tried: {NO_MUSL}",
    ]


@pytest.mark.parametrize(("least", "code"), [(66, ExitCode.OK), (67, ExitCode.NOT_PROVEN)])
def test_enough_proven_wheels_let_untried_ones_through(least: float, code: ExitCode) -> None:
    found = decision(RELEASE, GateRule(require_coverage=least))
    assert found.code is code
    assert found.coverage_lines()[0] == "1 of 3 wheels of this release was not proven:", (
        "said either way"
    )
    assert [ruling.code for ruling in found.rulings[:2]] == [ExitCode.OK, ExitCode.OK]


def test_coverage_lets_no_fault_through() -> None:
    """Neither a trial's, nor an audit's, nor a wheel that the proof does not know."""
    faulty = make_verdict(CP311, "debian-12-cp311-x86_64", Outcome.NOT_PORTABLE)
    failed_audit = make_verdict(MUSL, "audit", Outcome.NOT_PORTABLE)
    lenient = GateRule(require_coverage=1)
    record = replace(RELEASE, verdicts=(*RELEASE.verdicts, faulty))
    assert decision(record, lenient).code is ExitCode.NOT_PORTABLE
    record = replace(RELEASE, verdicts=(*RELEASE.verdicts, failed_audit))
    assert decision(record, lenient).code is ExitCode.NOT_PORTABLE
    stranger = artifact(MUSL, sha256="0" * 64)
    files = [artifact(ABI3), stranger]
    found = decide(files, RELEASE, lenient, required=RELEASE.distros, now=NOW)
    assert found.code is ExitCode.NOT_PROVEN


def test_an_engine_that_failed_is_not_a_missing_target() -> None:
    broken = make_verdict(CP311, "debian-12-cp311-x86_64", Outcome.NOT_PROVEN, cause=Cause.ENGINE)
    record = make_run([ABI3, CP311], [*proven(ABI3), make_verdict(CP311, "audit"), broken])
    assert decision(record, GateRule(require_coverage=1)).code is ExitCode.NOT_PROVEN


def test_nothing_proven_lets_nothing_through() -> None:
    record = make_run([MUSL], [make_verdict(MUSL, "audit"), UNTRIED])
    assert decision(record, GateRule(require_coverage=0)).code is ExitCode.NOT_PROVEN


def test_a_wheel_of_an_architecture_that_did_not_run_counts_as_untried() -> None:
    """Its distro was asked for, and not tried on that architecture; one never asked for refuses."""
    arm = make_wheel_record("demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl")
    verdict = replace(UNTRIED, wheel=arm.file, wheel_sha256=arm.sha256)
    record = make_run([ABI3, arm], [*proven(ABI3), make_verdict(arm, "audit"), verdict])
    asked = tuple(replace(d, architectures=("x86_64", "aarch64")) for d in record.distros)
    record = replace(record, distros=asked)
    lenient = GateRule(require_coverage=50)
    assert decision(record, lenient).code is ExitCode.OK
    other = replace(asked[1], id="ubuntu-22.04")
    named = replace(lenient, require=("ubuntu-22.04",))
    assert decision(record, named, required=(other,)).code is ExitCode.NOT_PROVEN


def test_wheels_for_other_systems_do_not_count() -> None:
    mac = make_wheel_record("demo-1.0-cp311-cp311-macosx_11_0_arm64.whl")
    record = replace(RELEASE, wheels=(*RELEASE.wheels, mac))
    found = decision(record, GateRule(require_coverage=60, other_platforms="allow"))
    assert (found.code, len(found.wheels)) == (ExitCode.OK, 3)


PASSED = SuiteOutcome(command="pytest", ran=3, counts=(("passed", 3),), exit_code=0)


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (PASSED, ""),
        (None, "its tests were not run"),
        (replace(PASSED, skipped="test-skip has '*'"), "its tests were not run: test-skip has '*'"),
    ],
)
def test_the_projects_own_tests_can_be_required(suite: SuiteOutcome | None, words: str) -> None:
    verdicts = [
        v if v.observation is None else replace(v, observation=replace(v.observation, tests=suite))
        for v in proven(ABI3, TARGETS[1:2])
    ]
    record = make_run([ABI3], verdicts)
    assert rule_on(artifact(ABI3), record).code is ExitCode.OK
    ruling = rule_on(artifact(ABI3), record, GateRule(require_tests=True))
    expected = [f"{TARGETS[1]}: portable, but {words} (require-tests = true)"] if words else []
    assert against(ruling) == expected
    assert ruling.code is (ExitCode.NOT_PROVEN if words else ExitCode.OK)
