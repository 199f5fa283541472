"""A run's output is found in a stream that others wrote to, wherever the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.output import BOUND, MarkedOutput, RunOutput

WORD, OTHER = "c0ffee", "decade"
SCRAPS = st.sampled_from([b"x", b"\n", b"begin\n", b"{}\n", b"\ndecade {}\n", b"c0ffe", b"\xff", b" "])
TEXT = st.lists(SCRAPS).map(b"".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(TEXT, TEXT, st.lists(st.integers(min_value=0)))
def test_what_lies_between_the_marks(before: bytes, own: bytes, cuts: list[int]) -> None:
    output = MarkedOutput(WORD)
    stream = before + b"\nc0ffee begin\n" + own + b'\nc0ffee {"exit_code": 3}\n'
    for piece in pieces(stream, cuts):
        assert not output.is_complete()
        output.write(piece)
    assert output.is_complete()
    assert (output.value(), output.answer()) == (own, {"exit_code": 3})


@given(TEXT, TEXT, st.lists(st.integers(min_value=0)))
def test_what_follows_the_end_is_none_of_it(own: bytes, after: bytes, cuts: list[int]) -> None:
    """Processes that the run has left behind write until they are killed."""
    output = MarkedOutput(WORD)
    stream = b"\nc0ffee begin\n" + own + b'\nc0ffee {"signal": 9}\n' + after
    for piece in pieces(stream, cuts):
        output.write(piece)
    assert (output.is_complete(), output.value(), output.answer()) == (True, own, {"signal": 9})


@pytest.mark.parametrize("first", [True, False])
def test_one_output_that_has_ended_is_not_all_of_it(*, first: bool) -> None:
    run = RunOutput(WORD)
    ahead, behind = (run.stdout, run.stderr) if first else (run.stderr, run.stdout)
    assert not run.has_ended()
    ahead.write(b"\nc0ffee begin\n\nc0ffee {}\n")
    assert (run.has_ended(), run.is_complete()) == (True, False)
    behind.write(b"\nc0ffee begin\n\nc0ffee {}\n")
    assert run.is_complete()


@given(TEXT)
def test_another_runs_output_is_none_of_it(text: bytes) -> None:
    output = MarkedOutput(WORD)
    output.write(text + b"\ndecade begin\n" + text + b'\ndecade {"exit_code": 0}\n')
    assert (output.is_complete(), output.value(), output.answer()) == (False, b"", {})


def test_a_run_that_was_cut_off_has_output_and_no_answer() -> None:
    output = MarkedOutput(WORD)
    output.write(b'\nc0ffee begin\nhalf\nc0ffee {"exit_code"')
    assert (output.is_complete(), output.answer()) == (False, {})
    assert output.value().startswith(b"half")


def test_the_end_is_found_behind_more_than_is_kept() -> None:
    output = MarkedOutput(WORD)
    output.write(b"\nc0ffee begin\n")
    for _ in range(3):
        output.write(b"x" * BOUND)
    output.write(b'\nc0ffee {"exit_code": 0}\n')
    assert output.is_complete()
    assert output.answer() == {"exit_code": 0}
    assert output.truncated


def test_as_much_is_kept_as_of_a_command() -> None:
    output = MarkedOutput(WORD)
    output.write(b"\nc0ffee begin\n" + b"x" * BOUND + b'\nc0ffee {"exit_code": 0}\n')
    assert (len(output.value()), output.truncated) == (BOUND, False)
