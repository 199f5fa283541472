"""What is said of wheels that no target of a run takes: a line each reason, what they share once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_manylinux.model.verdict import Cause
from pytest_manylinux.run.reports import untargeted_notes

FETCH = "CPython cannot be fetched by uv: error: no route; cause: unreachable"
NONE_HAS = "it is for cp314t, which no chosen distro has"
SOME_HAVE = "it is for cp312, which no chosen distro has: of all distros ubuntu-24.04 has it"
MUSL = "it is for Linux with musl, which no chosen distro has: choose a distro with musl"


def notes(*reasons: str) -> list[str]:
    verdicts = [
        SimpleNamespace(cause=Cause.NO_TARGET, wheel=f"{number}.whl", reason=reason)
        for number, reason in enumerate(reasons)
    ]
    record: Any = SimpleNamespace(verdicts=verdicts, wheels=verdicts)
    return untargeted_notes(record)


@pytest.mark.parametrize("reason", [f"{NONE_HAS}: {FETCH}", f"{SOME_HAVE}; {FETCH}", MUSL, NONE_HAS])
def test_a_single_reason_is_told_as_it_is(reason: str) -> None:
    assert notes(reason, reason) == [f"2 of 2 wheels not tried: {reason}"]


def test_what_reasons_share_is_told_once() -> None:
    reasons = [f"{SOME_HAVE}; {FETCH}"] * 2 + [f"{NONE_HAS}: {FETCH}", MUSL]
    assert notes(*reasons) == [
        f"2 of 4 wheels not tried: {SOME_HAVE}",
        f"1 of 4 wheels not tried: {NONE_HAS}",
        f"1 of 4 wheels not tried: {MUSL}",
        f"for 3 of these: {FETCH}",
    ]


def test_nothing_is_shared_where_nothing_more_is_said() -> None:
    assert notes(NONE_HAS, NONE_HAS.replace("314", "315")) == [
        f"1 of 2 wheels not tried: {NONE_HAS}",
        f"1 of 2 wheels not tried: {NONE_HAS.replace('314', '315')}",
    ]
