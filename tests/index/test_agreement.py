"""Popular wheels from the index: what is foretold of them, against what four distros see.

Opt-in (`-m index`): it downloads some gigabytes with this machine's own pip settings.
"""

from __future__ import annotations

import pytest
from agreement import DISTROS, PROJECTS, cells, summary

from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.model.verdict import Foretold

pytestmark = pytest.mark.index


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
