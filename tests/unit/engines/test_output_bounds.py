from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.output import BoundedOutput, tee


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(min_value=2, max_value=64))
def test_head_and_tail_are_kept_and_the_rest_is_counted(chunks: list[bytes], bound: int) -> None:
    output = BoundedOutput(bound)
    for chunk in chunks:
        output.write(chunk)
    everything, half = b"".join(chunks), bound // 2
    if len(everything) <= 2 * half:
        assert not output.truncated
        assert output.value() == everything
    else:
        assert output.truncated
        dropped = len(everything) - 2 * half
        gap = b"\n[... %d bytes left out ...]\n" % dropped
        assert output.value() == everything[:half] + gap + everything[-half:]


def test_a_listener_hears_all() -> None:
    heard: list[bytes] = []
    output = BoundedOutput(4)
    sink = tee(output, heard.append)
    for chunk in (b"one", b"two", b"three"):
        sink(chunk)
    assert heard == [b"one", b"two", b"three"]
    assert output.truncated
