"""Several tries of one wheel in one place, in one run and over several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trial_values import imported, make_observation, raised

from pytest_manylinux.diagnose.check_registry import make_finding
from pytest_manylinux.model.verdict import Cause, Outcome, Tries, Verdict
from pytest_manylinux.run.observation_memory import Memory, TryCount

KEY = "aa" * 32
PASS = Verdict(
    outcome=Outcome.PORTABLE,
    subject="debian-12-cp311-x86_64",
    wheel="demo-1.0-py3-none-any.whl",
    wheel_sha256="0" * 64,
    observation=make_observation(imported()),
)
FAULT = replace(
    PASS,
    outcome=Outcome.NOT_PORTABLE,
    findings=(make_finding("import-error", "import demo: ValueError: no"),),
    reason="import demo: ValueError: no",
    observation=make_observation(raised("ValueError", "no")),
)
LOST = replace(PASS, outcome=Outcome.NOT_PROVEN, cause=Cause.DEPENDENCY, observation=None)
LETTERS = {"p": PASS, "f": FAULT, "u": LOST}


def tried(folder: Path, letters: str, wanted: int = 0) -> Verdict:
    """One run's tries, one letter each; no more are done than are left."""
    tries = TryCount(Memory(folder), wanted or len(letters))
    for letter in letters:
        if tries.left:
            tries.add(KEY, LETTERS[letter])
    return tries.verdict()


def names(verdict: Verdict) -> list[str]:
    return [finding.name for finding in verdict.findings]


def test_a_pass_after_failures_is_flaky_and_says_how_often(tmp_path: Path) -> None:
    assert tried(tmp_path, "f") == FAULT, "nothing is known but failures"
    assert tried(tmp_path, "f") == FAULT
    verdict = tried(tmp_path, "p")
    assert (verdict.outcome, names(verdict)) == (Outcome.NOT_PORTABLE, ["flaky"])
    assert verdict.reason == "passed now, failed 2 of 3 times"
    assert "a failure: import-error: import demo: ValueError: no" in verdict.findings[0].evidence
    assert verdict.tries == Tries(count=1, failed=0, known=3, known_failed=2)
    assert Memory(tmp_path).recall(KEY) is None, "it is tried again, and never passes in silence"


def test_a_failure_after_a_pass_is_itself_and_flaky(tmp_path: Path) -> None:
    assert tried(tmp_path, "p") == PASS
    assert Memory(tmp_path).recall(KEY) is not None
    verdict = tried(tmp_path, "f")
    assert names(verdict) == ["import-error", "flaky"]
    assert verdict.reason == FAULT.reason
    assert verdict.findings[1].message == "failed now, failed 1 of 2 times"
    assert Memory(tmp_path).recall(KEY) is None


@pytest.mark.parametrize(
    ("letters", "outcome", "found", "words"),
    [
        ("ppp", Outcome.PORTABLE, [], ""),
        ("fff", Outcome.NOT_PORTABLE, ["import-error"], ""),
        ("ppf", Outcome.NOT_PORTABLE, ["import-error", "flaky"], "failed 1 of 3 tries"),
        ("fpp", Outcome.NOT_PORTABLE, ["import-error", "flaky"], "failed 1 of 3 tries"),
        ("pup", Outcome.NOT_PROVEN, [], ""),
        ("ffup", Outcome.NOT_PORTABLE, ["import-error"], ""),
        ("pfup", Outcome.NOT_PORTABLE, ["import-error", "flaky"], "failed 1 of 2 tries"),
    ],
)
def test_the_first_failing_try_decides(
    tmp_path: Path, letters: str, outcome: Outcome, found: list[str], words: str
) -> None:
    verdict = tried(tmp_path, letters)
    assert (verdict.outcome, names(verdict)) == (outcome, found)
    assert [f.message for f in verdict.findings if f.name == "flaky"] == ([words] if words else [])
    if outcome is not Outcome.NOT_PROVEN:
        ended = letters.partition("u")[0]
        assert verdict.tries is not None
        assert (verdict.tries.count, verdict.tries.failed) == (len(ended), ended.count("f"))


def test_tries_of_this_run_and_of_all(tmp_path: Path) -> None:
    tried(tmp_path, "ff")
    verdict = tried(tmp_path, "pppp")
    assert verdict.reason == "passed all 4 tries now, failed 2 of 6 times"
    verdict = tried(tmp_path, "pf")
    assert verdict.findings[1].message == "failed 1 of 2 tries"
    assert "with earlier runs: failed 3 of 8 times" in verdict.findings[1].evidence


def test_what_proved_nothing_counts_neither_way(tmp_path: Path) -> None:
    assert tried(tmp_path, "u") == LOST
    assert tried(tmp_path, "p") == PASS
    assert tried(tmp_path, "u") == LOST
    assert Memory(tmp_path).recall(KEY) is not None


def test_nothing_is_carried_over_to_another_key(tmp_path: Path) -> None:
    tried(tmp_path, "f")
    tries = TryCount(Memory(tmp_path), 1)
    tries.add("ab" * 32, PASS)
    assert tries.verdict() == PASS


def test_workers_with_several_engines_are_counted_together(tmp_path: Path) -> None:
    tries = TryCount(Memory(tmp_path), 2)
    tries.add(KEY, PASS)
    tries.add("ab" * 32, FAULT)
    verdict = tries.verdict()
    assert verdict.tries == Tries(count=2, failed=1, known=2, known_failed=1)
    assert names(verdict) == ["import-error", "flaky"]


def test_a_cache_that_keeps_nothing_still_counts_this_run(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    assert names(tried(place, "pf")) == ["import-error", "flaky"]
