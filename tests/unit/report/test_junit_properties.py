from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from _pytest.junitxml import LogXML
from hypothesis import given
from hypothesis import strategies as st
from run_records import (
    EXECUTABLE_STACK,
    hostile_text,
    make_observation,
    make_run,
    make_verdict,
    make_wheel_record,
)

from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.model.observation import CaseResult, CaseStatus, SuiteOutcome
from pytest_manylinux.model.run import BuildRecord, SettingRecord, ShardRecord
from pytest_manylinux.model.verdict import Outcome, Severity, Tries
from pytest_manylinux.report.junit import (
    TAIL_BOUND,
    TAIL_LINES,
    InnerCase,
    SharedProperties,
    case_name,
    class_name,
    inner_cases,
    log_tail,
    properties,
    suite_properties,
)

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.whl")
BUILD = BuildRecord(
    project="demo",
    python="cp311",
    policy="manylinux1",
    builder="zig",
    builder_why="auto: so",
    image="sha256:b",
    tools=(("zig", "0.17.1"),),
)
NAMES = [
    f"manylinux.{name}"
    for name in (
        "wheel",
        "wheel.sha256",
        "policy",
        "policy.why",
        "distro",
        "python",
        "pip",
        "libc",
        "image",
        "image.source",
        "image.name",
        "image.note",
        "engine",
        "worker",
        "emulator",
        "added.python",
        "remembered",
        "tries",
        "tries.failed",
        "tests",
        "builder",
        "builder.image",
        "builder.why",
        "verdict",
        "findings",
        "warnings",
    )
]


def test_a_testcase_is_named_with_the_policy_that_auto_came_to() -> None:
    build = BuildRecord(
        project="demo", python="cp311", policy="manylinux2014", builder="zig", wheel_sha256="1" * 64
    )
    name = "build[cp311-manylinux_auto_x86_64]"
    assert case_name(f"a::b::{name}", None, build) == "build[cp311-manylinux2014_x86_64]"
    assert case_name(f"a::b::{name}", None, replace(build, wheel_sha256="")) == name
    made = replace(WHEEL, build=build)
    trial = case_name("trial[cp311-manylinux_auto_x86_64-debian-12]", made, None)
    assert trial == "trial[cp311-manylinux2014_x86_64-debian-12]"
    assert case_name(name, None, None) == case_name(name, replace(WHEEL, build=None), None) == name
    assert case_name("build[cp311-musllinux_1_2_x86_64]", None, build).startswith("build[cp311-musl")


def test_a_trial_has_all_its_properties() -> None:
    verdict = make_verdict(WHEEL, "debian-12-cp311-x86_64", Outcome.NOT_PORTABLE)
    found = dict(properties(verdict, WHEEL, BUILD))
    assert list(found) == NAMES
    assert verdict.observation is not None
    assert found == {
        "manylinux.wheel": WHEEL.file,
        "manylinux.wheel.sha256": WHEEL.sha256,
        "manylinux.policy": "manylinux1",
        "manylinux.policy.why": "",
        "manylinux.distro": "debian-12",
        "manylinux.python": "3.11.2",
        "manylinux.pip": "23.0.1",
        "manylinux.libc": "glibc 2.36",
        "manylinux.image": verdict.observation.image,
        "manylinux.image.source": "archive",
        "manylinux.image.name": "debian-12",
        "manylinux.image.note": "",
        "manylinux.engine": "bubblewrap",
        "manylinux.worker": "",
        "manylinux.emulator": "",
        "manylinux.added.python": "",
        **dict.fromkeys(("manylinux.remembered", "manylinux.tries", "manylinux.tries.failed"), ""),
        "manylinux.tests": "",
        "manylinux.builder": "zig",
        "manylinux.builder.image": "sha256:b",
        "manylinux.builder.why": "auto: so",
        "manylinux.verdict": "not-portable",
        "manylinux.findings": "executable-stack",
        "manylinux.warnings": "",
    }


def test_warnings_of_a_wheel_that_passes_are_told() -> None:
    warning = replace(EXECUTABLE_STACK, severity=Severity.WARNING)
    verdict = make_verdict(WHEEL, "audit", findings=(warning, EXECUTABLE_STACK, warning))
    words = f"executable-stack: {warning.message}"
    assert dict(properties(verdict, WHEEL))["manylinux.warnings"] == f"{words}; {words}"


def test_a_trial_that_saw_nothing_still_names_its_place() -> None:
    verdict = make_verdict(WHEEL, "debian-12-cp311-x86_64", Outcome.NOT_PROVEN, observation=None)
    found = dict(properties(verdict, WHEEL, engine="docker"))
    assert found["manylinux.distro"] == "debian-12"
    assert found["manylinux.python"] == "cp311"
    assert found["manylinux.engine"] == "docker"
    assert found["manylinux.builder"] == "none"


def test_a_build_has_the_same_names() -> None:
    found = dict(properties(None, None, replace(BUILD, error="gcc said no")))
    assert sorted(found) == sorted(NAMES)
    assert found["manylinux.verdict"] == "build-failed"
    assert dict(properties(None, None, BUILD))["manylinux.verdict"] == "built"


@pytest.mark.parametrize(
    ("filename", "policy"),
    [
        ("demo-1.0-py3-none-any.whl", "any"),
        ("demo-1.0-cp311-cp311-linux_x86_64.whl", "linux_x86_64"),
        ("demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "manylinux_2_28"),
        ("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl", "manylinux2014"),
    ],
)
def test_the_policy_is_what_the_file_name_promises(filename: str, policy: str) -> None:
    wheel = make_wheel_record(filename)
    found = dict(properties(make_verdict(wheel, "audit"), wheel))
    assert found["manylinux.policy"] == policy


def test_the_suite_tells_versions_pins_and_settings() -> None:
    record = make_run(
        builds=(BUILD,),
        pins=(("debian-12", "sha256:9"),),
        shard=ShardRecord(index=2, count=5, plan="x"),
        settings=(SettingRecord(name="policy", value="manylinux1", source="default"),),
    )
    found = dict(suite_properties(record))
    assert found["manylinux.tool"] == "0.1.0"
    assert found["manylinux.engine.version"] == "0.8.0"
    assert found["manylinux.builder"] == "zig"
    assert found["manylinux.tool.zig"] == "0.17.1"
    assert found["manylinux.catalogue"] == "sha256:0123"
    assert found["manylinux.pin.debian-12"] == "sha256:9"
    assert found["manylinux.shard"] == "2/5"
    assert found["manylinux.setting.policy"] == "manylinux1"


_ANY_TEXT = st.text(st.characters(exclude_categories=())) | hostile_text


@given(_ANY_TEXT)
def test_text_survives_a_round_through_xml(text: str) -> None:
    element = ET.Element("property", value=plain_line(text))
    element.text = plain(text)
    again = ET.fromstring(ET.tostring(element, "utf-8"))  # noqa: S314 - our own
    assert again.get("value") == plain_line(text)
    assert (again.text or "") == plain(text)


@given(_ANY_TEXT)
def test_made_plain_twice_is_made_plain_once(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert "\n" not in plain_line(text)


def test_harmless_text_is_left_alone() -> None:
    text = "Größe ½ — 日本語 \U0001f600\n\tindented"
    assert plain(text) == text


def test_a_logs_end_is_kept() -> None:
    tail = log_tail("\n".join(f"line {n}" for n in range(100_000)))
    assert tail.endswith("line 99999")
    assert len(tail.splitlines()) == TAIL_LINES
    assert log_tail("x" * 100_000) == "x" * TAIL_BOUND


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("sample_projects/portable/c_extension", "sample_projects.portable.c_extension"),
        ("dist/numpy-2.2.6-cp311-cp311-linux_x86_64.whl", "dist.numpy-2_2_6-cp311-cp311-linux_x86_64"),
        ("demo-1.0.tar.gz", "demo-1_0"),
        ("/abs//x", "abs.x"),
    ],
)
def test_class_names_group_by_project_or_wheel(group: str, expected: str) -> None:
    assert class_name(group) == expected


def test_a_remembered_pass_and_repeated_tries_are_told() -> None:
    seen = make_observation("debian-12-cp311-x86_64", remembered=True)
    verdict = make_verdict(WHEEL, "debian-12-cp311-x86_64", observation=seen)
    tries = Tries(count=4, failed=0, known=9, known_failed=2)
    again = replace(verdict, tries=tries, observation=replace(seen, remembered=False))
    assert dict(properties(verdict))["manylinux.remembered"] == (
        "2023-11-14 22:13 UTC, by an earlier run (remembered)"
    )
    found = dict(properties(again))
    assert found["manylinux.remembered"] == ""
    assert (found["manylinux.tries"], found["manylinux.tries.failed"]) == ("9", "2")
    suite = dict(suite_properties(make_run([WHEEL], [verdict, again])))
    assert suite["manylinux.remembered"] == "1 of 2 trials, seen by earlier runs"
    assert suite["manylinux.repeated"] == "1 trial, 4 tries, 0 failed"


def inner(name: str, status: CaseStatus, outcome: Outcome = Outcome.NOT_PORTABLE) -> InnerCase:
    verdict = make_verdict(WHEEL, "debian-12-cp311-x86_64", outcome)
    assert verdict.observation is not None
    suite = SuiteOutcome(command="pytest", cases=(CaseResult(name=name, status=status, words="E no"),))
    (found,) = inner_cases(replace(verdict, observation=replace(verdict.observation, tests=suite)))
    return found


@pytest.mark.parametrize(
    ("name", "class_name", "shown"),
    [
        ("tests/test_a.py::test_b", "tests.test_a", "test_b[debian-12-cp311]"),
        ("tests/test_a.py::T::test_b[1]", "tests.test_a.T", "test_b[1-debian-12-cp311]"),
        ("tests/test_a.py::test_b[c.py::d/e]", "tests.test_a", "test_b[c.py::d/e-debian-12-cp311]"),
        ("test_b (tests.test_a.T)", "tests.test_a.T", "test_b[debian-12-cp311]"),
        ("tests/test_a.py", "", "tests/test_a.py[debian-12-cp311]"),
    ],
)
def test_a_test_of_the_project_has_its_place_in_its_name(
    name: str, class_name: str, shown: str
) -> None:
    found = inner(name, CaseStatus.FAILED)
    assert (found.class_name, found.name) == (class_name, shown)
    assert (found.status, found.words) == ("failed", "E no")


def test_a_test_that_is_declared_to_fail_is_a_skipped_testcase() -> None:
    assert inner("a.py::b", CaseStatus.FAILED, Outcome.EXPECTED).status == "skipped"
    assert inner("a.py::b", CaseStatus.UNFINISHED).status == "error"
    assert inner("a.py::b", CaseStatus.XPASSED).status == "passed"


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text("xyz<&", max_size=3)), max_size=5))
def test_shared_properties_are_written_as_pytest_would_and_held_once(
    pairs: list[tuple[str, str]],
) -> None:
    shared = SharedProperties()
    written, elements = set(), []
    for _ in range(2):
        log = LogXML("junit.xml", None)
        own, reporter = log.node_reporter("test_a.py::test_a"), log.node_reporter("test_a.py::test_b")
        own.properties = reporter.properties = pairs
        node = shared.shared_by(reporter).make_properties_node()
        expected = own.make_properties_node()
        assert (node is None) == (expected is None)
        if node is not None and expected is not None:
            assert ET.tostring(node) == ET.tostring(expected)
            written.add(ET.tostring(node))
            elements.append(list(node))
    assert len(written) <= 1
    assert all(one is other for one, other in zip(*elements, strict=True)) if elements else True
