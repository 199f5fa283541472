from __future__ import annotations

import pytest

from pytest_manylinux.config.settings import IgnoreRule
from pytest_manylinux.diagnose.check_registry import make_finding
from pytest_manylinux.diagnose.judge import apply_ignores
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.verdict import Finding, Outcome, Severity, Verdict

CRASH = make_finding("crash", "killed")
STACK = make_finding("executable-stack", "rwx", files=())
LIBRARY = make_finding("missing-library", "libGL", files=["demo/a.so", "demo/b.so"])


def verdict_of(*findings: Finding) -> Verdict:
    return Verdict(
        outcome=Outcome.NOT_PORTABLE if findings else Outcome.PORTABLE,
        subject="s",
        wheel="w",
        wheel_sha256="0",
        findings=findings,
        reason=findings[0].message if findings else "",
    )


def rule(finding: str, **fields: str) -> IgnoreRule:
    return IgnoreRule(finding=finding, reason="known", **fields)


def test_an_ignored_error_no_longer_decides_and_stays_on_record() -> None:
    verdict = apply_ignores(verdict_of(CRASH), [rule("ML303")], "debian-12")
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.findings == ()
    assert [(i.finding, i.reason) for i in verdict.ignored] == [(CRASH, "known")]
    assert "crash" in verdict.reason


def test_another_error_still_decides() -> None:
    verdict = apply_ignores(verdict_of(CRASH, STACK), [rule("crash")], "debian-12")
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert verdict.reason == "rwx"


def test_a_lowered_finding_stays_with_its_new_weight() -> None:
    verdict = apply_ignores(verdict_of(CRASH), [rule("crash", severity="warning")], "debian-12")
    assert verdict.outcome is Outcome.PORTABLE
    assert [f.severity for f in verdict.findings] == [Severity.WARNING]
    assert verdict.ignored[0].finding.severity is Severity.ERROR


def test_nothing_is_made_heavier() -> None:
    light = make_finding("crash", "m", severity=Severity.INFORMATION)
    before = verdict_of(light)
    assert apply_ignores(before, [rule("crash", severity="warning")], "debian-12") == before


@pytest.mark.parametrize(
    ("pattern", "where", "holds"),
    [
        ("debian-12", "debian-12", True),
        ("debian-*", "debian-12", True),
        ("debian-11", "debian-12", False),
        ("*", "audit", True),
        ("audit", "audit", True),
        ("audit", "debian-12", False),
    ],
)
def test_distros(pattern: str, where: str, *, holds: bool) -> None:
    verdict = apply_ignores(verdict_of(CRASH), [rule("crash", distro=pattern)], where)
    assert verdict.outcome.passes == holds


@pytest.mark.parametrize(
    ("files", "holds"),
    [
        (["demo/a.so", "demo/b.so"], True),
        (["demo/*.so"], True),
        (["demo/a.so"], False),
        (["*"], True),
        (["other/*"], False),
    ],
)
def test_every_file_must_be_spoken_of(files: list[str], *, holds: bool) -> None:
    rules = [rule("missing-library", file=file) for file in files]
    verdict = apply_ignores(verdict_of(LIBRARY), rules, "debian-12")
    assert verdict.outcome.passes == holds


def test_a_rule_for_files_does_not_hold_for_a_finding_without() -> None:
    verdict = apply_ignores(verdict_of(CRASH), [rule("crash", file="demo/*")], "debian-12")
    assert not verdict.outcome.passes


def test_a_finding_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="crush"):
        apply_ignores(verdict_of(CRASH), [rule("crush")], "debian-12")
