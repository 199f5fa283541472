"""What fuzzing begins with, and what it found or kept (tests/data/fuzz), through the same calls."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest
from fuzz_targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_ends_in_an_answer_or_an_error_of_ours(name: str) -> None:
    kept = sorted(Path(fuzz.KEPT, name).glob("*"))
    for data in (*TARGETS[name].examples(), *(path.read_bytes() for path in kept)):
        TARGETS[name].call(data)


def test_all_targets_are_fuzzed_and_nothing_kept_is_orphaned() -> None:
    assert set(fuzz.TARGETS) == set(TARGETS)
    assert {path.name for path in fuzz.KEPT.glob("*")} <= set(TARGETS)
