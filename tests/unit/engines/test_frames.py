from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.container.attach import STDERR, STDOUT, Frames

frames = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR, 3]), st.binary(max_size=30)), max_size=12)


@given(frames, st.data())
def test_frames_are_told_apart_however_the_stream_is_cut(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(struct.pack(">BxxxL", kind, len(payload)) + payload for kind, payload in sent)
    out, err = bytearray(), bytearray()
    taker = Frames({STDOUT: out.extend, STDERR: err.extend})
    while stream:
        cut = data.draw(st.integers(min_value=1, max_value=len(stream)))
        taker.feed(stream[:cut])
        stream = stream[cut:]
    assert bytes(out) == b"".join(payload for kind, payload in sent if kind == STDOUT)
    assert bytes(err) == b"".join(payload for kind, payload in sent if kind == STDERR)
