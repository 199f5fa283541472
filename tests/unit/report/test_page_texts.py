"""Texts of the page: each once, made sound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.escape import plain
from pytest_manylinux.report.page.details import Texts


def test_a_text_and_one_that_is_spelled_like_it_have_one_number() -> None:
    texts = Texts()
    assert texts.numbers(["a\x1bb", "a\\x1bb", "a\x1bb", "::error::x", "other"]) == [0, 0, 0, 1, 2]
    assert texts.all == ["a\\x1bb", "\\::error::x", "other"]


@given(st.lists(st.text() | st.sampled_from(["::a::", "##[b]", "section_start:", "\x1b", "c"])))
def test_they_are_what_is_sound_of_each(words: list[str]) -> None:
    texts = Texts()
    assert [texts.all[number] for number in texts.numbers(words)] == [plain(word) for word in words]
    assert len(set(texts.all)) == len(texts.all)
