"""Popular wheels from the index: what is foretold of them, against what four distros see.

Opt-in (`-m index`): it downloads some gigabytes with this machine's own pip settings.
"""

from __future__ import annotations

import pytest
from agreement import DISTROS, MUSL, PROJECTS, cells, summary
from naive_truth import comparisons
from naive_truth import summary as naive_summary
from real_wheels import MUSL_LIST, Cell

from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.model.verdict import Foretold, Outcome

pytestmark = pytest.mark.index

# Parts of the reasons for which a wheel may be not proven: what a user would accept as well.
# Each has a requirement that offers nothing for one of the Pythons, or a source alone that wants a
# compiler, which is so by hand too.
ACCEPTED = (
    "No matching distribution found for rapids-logger",
    "No matching distribution found for cmeel-boost",
    "cmeel-boost, which eiquadprog",
    "numexpr, which tables",
)


def test_predictions_agree_with_trials(capsys: pytest.CaptureFixture[str]) -> None:
    engine = select_engine("bubblewrap")
    found = []
    for cell in cells(PROJECTS, engine):
        found.append(cell)
        with capsys.disabled():
            print(cell, flush=True)  # noqa: T201 - a table for people, as it grows
    with capsys.disabled():
        print(summary(found))  # noqa: T201
    engine.close()
    assert {cell.distro for cell in found} == set(DISTROS)
    assert len({cell.wheel.partition("-")[0] for cell in found}) >= 30
    assert [str(cell) for cell in found if cell.prediction is Foretold.WRONG] == []


def test_verdicts_agree_with_what_is_seen_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    engine = select_engine("bubblewrap")
    found = []
    for one in comparisons(engine):
        found.append(one)
        with capsys.disabled():
            print(one, flush=True)  # noqa: T201 - a table for people, as it grows
    with capsys.disabled():
        print(naive_summary(found))  # noqa: T201
    engine.close()
    assert len({one.sha256 for one in found}) >= 150
    assert [str(one) for one in found if one.is_false] == []
    assert unaccounted(found) == []
    proven = [one for one in found if one.prediction]
    right = [one for one in proven if one.prediction == Foretold.RIGHT.value]
    assert len(right) >= 0.99 * len(proven), [str(one) for one in proven if one not in right]


def unaccounted(found: list[Cell]) -> list[str]:
    """What was not proven for a reason that is not among those that a user would accept."""
    unproven = [one for one in found if one.outcome == Outcome.NOT_PROVEN.value]
    return [str(one) for one in unproven if not any(reason in one.reason for reason in ACCEPTED)]


def test_verdicts_on_musl_agree_with_what_is_seen_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    engine = select_engine("bubblewrap")
    found = []
    for one in comparisons(engine, distros=MUSL, path=MUSL_LIST):
        found.append(one)
        with capsys.disabled():
            print(one, flush=True)  # noqa: T201 - a table for people, as it grows
    engine.close()
    assert len(found) == 15
    assert [str(one) for one in found if one.is_false] == []
    assert {one.prediction for one in found} == {Foretold.RIGHT.value}
