"""Trials of wheels that try to be taken for a success: none is, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import pytest
from engine_names import EVERYWHERE
from hostile_code import CHEAT, FAILS, FATAL, FORGERS, START_UPS
from sandboxes import OWN, processes_with

from pytest_manylinux.cache.locks import once_per_run
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.model.observation import ImportOutcome, ImportStatus, Observation

pytestmark = pytest.mark.parametrize("where", EVERYWHERE, indirect=True)

Outcomes: TypeAlias = Mapping[str, ImportOutcome] | None
Observe = Callable[[str, Mapping[str, str], float], Observation]
Try = Callable[[str, Mapping[str, str], float], Outcomes]


@pytest.fixture(scope="module")
def attempt(observe: Observe) -> Try:
    """The imports of a trial as a run makes it, of a wheel with these files; None: not proven."""

    def run(name: str, files: Mapping[str, str], timeout: float) -> Outcomes:
        try:
            return {found.name: found for found in observe(name, files, timeout).imports}
        except ManylinuxError:
            return None

    return run


@pytest.fixture(scope="module")
def seen(
    attempt: Try, where: str, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> dict[str, Outcomes]:
    """What came of each wheel; the workers of one run share it."""
    own = tmp_path_factory.getbasetemp()
    folder = own if worker_id == "master" else own.parent
    found: dict[str, Outcomes] = once_per_run(folder, ("hostile", where), lambda: try_all(attempt))
    return found


def try_all(attempt: Try) -> dict[str, Outcomes]:
    """Try all wheels, a few at once."""
    forgers = {f"{name}.py": code for name, (code, _) in FORGERS.items()}
    wheels: dict[str, Mapping[str, str]] = {"forgers": {"aa_cheat.py": CHEAT, **forgers}}
    wheels |= {name: {"aa.py": code, "zz.py": FAILS} for name, code in FATAL.items()}
    wheels |= {name: {**files, "zz.py": FAILS} for name, files in START_UPS.items()}
    with ThreadPoolExecutor(3) as pool:
        found = {
            name: pool.submit(attempt, name, files, 120.0 if name == "forgers" else 4.0)
            for name, files in wheels.items()
        }
    return {name: future.result() for name, future in found.items()}


@pytest.mark.attack("forgery", by="name")
@pytest.mark.parametrize("name", FORGERS)
def test_what_is_not_imported_is_no_success(seen: Mapping[str, Outcomes], name: str) -> None:
    """The first of these modules, which is sound, also forges the start of all that follow."""
    outcomes = seen["forgers"]
    assert outcomes is not None
    assert outcomes["aa_cheat"].status is ImportStatus.OK, outcomes["aa_cheat"]
    assert set(outcomes) == {"aa_cheat", *FORGERS}
    assert outcomes[name].status is not ImportStatus.OK
    assert FORGERS[name][1] in outcomes[name].message, outcomes[name]


@pytest.mark.attack("forgery", by="name")
@pytest.mark.parametrize("name", [*FATAL, *START_UPS])
def test_what_spoils_more_than_itself_is_no_success(seen: Mapping[str, Outcomes], name: str) -> None:
    outcomes = seen[name]
    if outcomes is None:
        return  # not proven
    assert "zz" not in outcomes or outcomes["zz"].status is not ImportStatus.OK
    assert any(found.status is not ImportStatus.OK for found in outcomes.values()), outcomes


@pytest.mark.attack("escape")
def test_nothing_stays_of_a_trial(attempt: Try) -> None:
    mark = f"86396.5{OWN}"
    code = f"import subprocess; subprocess.Popen(['sleep', '{mark}'], start_new_session=True)"
    outcomes = attempt("stays", {"stays.py": code}, 20.0)
    assert outcomes is not None
    assert outcomes["stays"].status is ImportStatus.OK
    assert processes_with(f"sleep {mark}") == []
