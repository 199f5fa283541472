"""With which extras a wheel is tried, and which of the verdicts counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from trial_values import make_facts, make_observation

from pytest_manylinux.config.merge import flag_layer, merge
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import DependencyError, UsageError
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.run.trial_inputs import (
    check_resolution,
    deciding,
    extra_sets,
    with_known_extras,
)
from pytest_manylinux.trials.suite import SuiteRequest, SuiteSettings


def settings(**values: str) -> Settings:
    return merge([flag_layer({f"manylinux_{name}": value for name, value in values.items()})])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ()),
        ("fast", (("fast",),)),
        ("Fast all-of_it", (("fast",), ("all_of.it",))),
        ("each", (("fast",), ("all_of.it",))),
        ("all", (("fast", "all_of.it"),)),
        ("fast each all", (("fast",), ("all_of.it",), ("fast", "all_of.it"))),
    ],
)
def test_the_sets_of_extras(words: str, expected: tuple[tuple[str, ...], ...]) -> None:
    facts = make_facts(extras=("fast", "all_of.it"))
    assert extra_sets(settings(extras=words), facts) == expected


def test_a_wheel_without_extras_has_none_to_try_and_a_wrong_name_is_told() -> None:
    assert extra_sets(settings(extras="each all"), make_facts()) == ()
    with pytest.raises(DependencyError, match="extras has 'fats', which demo") as error:
        extra_sets(settings(extras="fats"), make_facts(extras=("fast", "cli")))
    assert error.value.why == "it provides fast, cli"


@pytest.mark.parametrize("values", [{"extras": "each"}, {"resolution": "lowest-direct"}])
def test_without_dependencies_neither_makes_sense(values: dict[str, str]) -> None:
    check_resolution(settings(**values))
    check_resolution(settings(dependencies="none"))
    with pytest.raises(UsageError, match="dependencies = none"):
        check_resolution(settings(dependencies="none", **values))


def verdict(outcome: Outcome, **fields: Any) -> Verdict:  # noqa: ANN401
    seen = make_observation()
    return Verdict(outcome=outcome, subject="x", wheel="w", wheel_sha256="", observation=seen, **fields)


def extras_of(found: Verdict) -> tuple[str, ...]:
    assert found.observation is not None
    return found.observation.extras


def test_the_first_that_does_not_pass_decides_and_a_fault_before_what_is_not_proven() -> None:
    good, bad = verdict(Outcome.PORTABLE), verdict(Outcome.NOT_PORTABLE)
    unknown = verdict(Outcome.NOT_PROVEN)
    passed = deciding({(): good, ("a",): good, ("a", "b"): good})
    assert (passed.outcome, extras_of(passed)) == (Outcome.PORTABLE, ("a", "a,b"))
    failed = deciding({(): good, ("a",): unknown, ("b", "c"): bad})
    assert (failed.outcome, extras_of(failed)) == (Outcome.NOT_PORTABLE, ("b,c",))
    assert extras_of(deciding({(): good, ("a",): unknown})) == ("a",)
    assert extras_of(deciding({(): bad})) == ()
    lost = replace(unknown, observation=None)
    assert deciding({(): good, ("a",): lost}) == lost


def test_tests_that_want_an_extra_that_there_is_not_are_not_run() -> None:
    def lacking(*extras: str) -> str:
        asked = SuiteRequest(settings=SuiteSettings(command=("true",), extras=extras))
        suite = with_known_extras(asked, make_facts(extras=("fast-io", "cli")))
        assert suite is not None
        assert suite.can_run is not bool(suite.settings.lacking)
        return suite.settings.lacking

    assert lacking() == lacking("Fast.IO", "cli") == ""
    assert lacking("cli", "fats") == (
        "test-extras has 'fats', which the wheel does not provide: it provides fast-io, cli"
    )
    assert with_known_extras(None, make_facts()) is None
