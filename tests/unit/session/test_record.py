from __future__ import annotations

import pytest

from pytest_manylinux.config.settings import GateRule, IgnoreRule
from pytest_manylinux.errors import DependencyError
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.verdict import Cause, Expectation
from pytest_manylinux.session.record import shown
from pytest_manylinux.session.work import not_proven


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Policy((2, 5)), "manylinux1"),
        (300.0, "300"),
        (0.5, "0.5"),
        (("debian-12", "supported"), "debian-12 supported"),
        (
            GateRule(),
            (
                "requires every distro of the run; verdicts of any age; no signature asked for;"
                " ignored findings and declared faults refused; wheels for other systems: refuse"
            ),
        ),
        (
            GateRule(
                require=("debian-12", "debian-13"),
                max_age=14.0,
                allow_ignored=True,
                signed_by=("a.pub", "b.pub"),
                other_platforms="allow",
            ),
            (
                "requires debian-12 debian-13; verdicts at most 14 days old; signed by a.pub or b.pub;"
                " ignored findings and declared faults allowed; wheels for other systems: allow"
            ),
        ),
        (
            (
                Expectation(distro="*", finding="crash", reason="the lesson"),
                Expectation(distro="debian-13", finding="hang", reason="known"),
            ),
            "crash on any distro (the lesson); hang on debian-13 (known)",
        ),
        (
            (IgnoreRule(finding="oversized", reason="data", file="a/*.bin"),),
            "oversized on any distro in a/*.bin: ignore (data)",
        ),
        (({"id": "debian-12", "glibc": "2.36"},), '{"id": "debian-12", "glibc": "2.36"}'),
    ],
)
def test_settings_are_shown_in_plain_words(value: object, words: str) -> None:
    assert shown(value) == words


def test_what_has_no_wheel_is_reported_under_its_project() -> None:
    verdict = not_proven(DependencyError("no"), "debian-12-cp311-x86_64", "projects/demo")
    assert (verdict.wheel, verdict.wheel_sha256) == ("projects/demo", "")
    assert verdict.cause is Cause.DEPENDENCY
