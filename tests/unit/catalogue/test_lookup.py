from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.catalogue.lookup import is_supported
from pytest_manylinux.errors import UsageError

CATALOGUE = load_catalogue()
IDS = [distro.id for distro in CATALOGUE.distros]


@pytest.mark.parametrize(
    "word", ["debian-12", "bookworm", "debian:12", " Debian-12 ", "debian:12-slim"]
)
def test_a_distro_has_many_names(word: str) -> None:
    assert CATALOGUE.get(word).id == "debian-12"


def test_an_unknown_word_gets_the_nearest_right_one_and_its_place() -> None:
    with pytest.raises(UsageError) as caught:
        CATALOGUE.get("bookwurm", where="--manylinux-distros")
    assert "--manylinux-distros: no distro is called 'bookwurm'" in str(caught.value)
    assert "perhaps you meant 'bookworm'" in str(caught.value)


def test_an_unknown_word_may_be_near_a_group() -> None:
    with pytest.raises(UsageError) as caught:
        CATALOGUE.select(["suported"])
    assert "'supported'" in str(caught.value)


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(UsageError):
        CATALOGUE.select(["plan9-*"])


def test_a_pattern_selects_ids() -> None:
    selected = CATALOGUE.select(["debian-1?"])
    assert {"debian-12", "debian-13"} <= {distro.id for distro in selected}
    assert all(distro.family == "debian" for distro in selected)


@given(st.lists(st.sampled_from([*IDS, *CATALOGUE.group_names]), max_size=6))
def test_a_selection_holds_each_distro_once_in_the_order_of_the_words(words: list[str]) -> None:
    ids = [distro.id for distro in CATALOGUE.select(words)]
    assert len(ids) == len(set(ids))
    named = [word for word in dict.fromkeys(words) if word in IDS]
    first = {word: ids.index(word) for word in named}
    if set(words) <= set(IDS):
        assert ids == named
    assert set(first) == set(named)


@given(st.sampled_from(CATALOGUE.group_names))
def test_every_group_selects_something(group: str) -> None:
    assert CATALOGUE.select([group])


def test_embedded_is_what_a_live_archive_gives() -> None:
    embedded = CATALOGUE.select(["embedded"])
    assert all(distro.archive is not None and distro.archive.live for distro in embedded)
    assert "debian-10" not in {distro.id for distro in embedded}
    assert {"debian-11", "debian-12", "debian-13", "debian-testing"} <= {d.id for d in embedded}


def test_the_default_is_a_dozen_that_their_makers_still_mended_when_it_was_chosen() -> None:
    chosen = CATALOGUE.select(["default"])
    assert len(chosen) == 12
    assert {"debian", "ubuntu", "opensuse"} <= {distro.family for distro in chosen}
    assert all(is_supported(distro, date(2026, 11, 22)) and distro.image for distro in chosen)


@given(st.dates())
def test_support_ends_after_the_last_day(day: date) -> None:
    distro = CATALOGUE.get("debian-12")
    assert distro.end_of_life is not None
    assert is_supported(distro, day) == (day <= distro.end_of_life)


def test_a_rolling_distro_is_always_supported() -> None:
    assert is_supported(CATALOGUE.get("debian-unstable"), date(2100, 1, 1))
