from __future__ import annotations

import sys
from types import FrameType

import pytest
from run_records import make_run, make_verdict, make_wheel_record

from pytest_manylinux.config.settings import GateRule, IgnoreRule
from pytest_manylinux.errors import DependencyError
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.verdict import Cause, Expectation
from pytest_manylinux.report.proof import decode_proof, encode_proof
from pytest_manylinux.run.outcomes import not_proven
from pytest_manylinux.run.record import ItemRecord, Recorder, shown


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
                " ignored findings and declared faults refused;"
                " the project's own tests not required; wheels for other systems: refuse"
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
                " ignored findings and declared faults allowed;"
                " the project's own tests not required; wheels for other systems: allow"
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


def interrupted_at(line: int, recorder: Recorder, entry: ItemRecord) -> bool:
    """Have an entry added, with Ctrl-C at the given line of that; whether it came so far."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal seen
        del argument
        if frame.f_code.co_filename != sys.modules[Recorder.__module__].__file__:
            return None
        seen += event == "line"
        if seen == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        recorder.add(entry)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_ctrl_c_at_any_line_leaves_a_record_that_is_a_proof() -> None:
    wheel = make_wheel_record("good-1.0-py3-none-any.whl")
    entry = ItemRecord(verdict=make_verdict(wheel, "audit"), wheel=wheel)
    line = 0
    interrupted = True
    while interrupted:
        line += 1
        recorder = Recorder()
        interrupted = interrupted_at(line, recorder, entry)
        record = make_run(list(recorder._wheels.values()), recorder.verdicts)
        assert decode_proof(encode_proof(record)).record.verdicts == tuple(recorder.verdicts)
    assert line > 5
    assert recorder.verdicts == [entry.verdict]
