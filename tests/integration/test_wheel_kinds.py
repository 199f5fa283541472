"""Each kind of wheel on four Debian releases: really tried, and as it was predicted from its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from agreement import Place, places
from kinds_of_wheels import NOT_PROVEN, ROOTS, WORKS, WheelKind
from wheel_kinds import KINDS

from pytest_manylinux.config.readers import expectations
from pytest_manylinux.diagnose.judge import apply_expectations, judge
from pytest_manylinux.diagnose.predict import predict_target, surveyed
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.verdict import Foretold, Outcome, Verdict
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def engine() -> Engine:
    return select_engine("auto")


@pytest.fixture(scope="session")
def roots(engine: Engine) -> dict[str, Place]:
    return {place.target.distro.id: place for place in places(engine)}


OFTEN = "debian-12"  # on the others only with `-m kinds`


@pytest.mark.parametrize(
    "root", [pytest.param(root, marks=[pytest.mark.kinds] * (root != OFTEN)) for root in ROOTS]
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_is_judged_as_it_is(
    kind: WheelKind, root: str, roots: dict[str, Place], engine: Engine, tmp_path: Path
) -> None:
    wheel, place = open_wheel(kind.make(tmp_path)), roots[root]
    facts, nothing = read_wheel(wheel), tmp_path / "nothing"
    nothing.mkdir()  # that it could require: as for a wheel whose requirements no index can meet
    request = TrialRequest(
        wheel=wheel,
        facts=facts,
        target=place.target,
        image=place.image,
        timeout=120.0,
        dependencies=nothing,
    )
    seen = run_trial(request, engine)
    verdict = judge(facts, seen, place.target, wheel=wheel, survey=place.survey)
    assert place.survey is not None
    prediction = predict_target(facts, surveyed(place.target, place.survey))
    foretold = (prediction.errors[0].name if prediction.errors else WORKS, _outcome(verdict))
    assert foretold == kind.on(root), verdict.findings
    if kind.on(root)[0] == kind.on(root)[1]:
        assert verdict.prediction is Foretold.RIGHT, verdict.findings
    else:
        assert verdict.prediction is not Foretold.WRONG, verdict.findings


def test_a_driver_that_is_missing_can_be_declared_by_its_name(
    roots: dict[str, Place], engine: Engine, tmp_path: Path
) -> None:
    kind = next(kind for kind in KINDS if kind.name == "module-of-a-driver")
    wheel, place = open_wheel(kind.make(tmp_path)), roots[OFTEN]
    facts = read_wheel(wheel)
    request = TrialRequest(
        wheel=wheel, facts=facts, target=place.target, image=place.image, timeout=120.0
    )
    verdict = judge(facts, run_trial(request, engine), place.target, wheel=wheel)
    declared = apply_expectations(verdict, expectations("needs-driver", "expect"), OFTEN)
    assert declared.outcome is Outcome.EXPECTED, verdict.findings


def _outcome(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.NOT_PROVEN:
        return NOT_PROVEN
    return verdict.errors[0].name if verdict.errors else WORKS
