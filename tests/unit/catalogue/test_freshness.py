"""The age of the catalogue and the ends of its groups: on stated days, never by the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
import release_check

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.catalogue.lookup import LIMIT, age, ended_members, faults_at_release, is_supported

CATALOGUE = load_catalogue()


def checked() -> date:
    assert CATALOGUE.checked is not None
    return CATALOGUE.checked


def test_no_member_of_a_fixed_group_was_past_its_end_when_the_figures_were_checked() -> None:
    assert list(ended_members(CATALOGUE, checked())) == []


@pytest.mark.parametrize("group", CATALOGUE.kept)
def test_what_is_kept_is_a_member_past_its_end_and_has_a_reason(group: str) -> None:
    for name, reason in CATALOGUE.kept[group].items():
        assert name in CATALOGUE.groups[group]
        assert not is_supported(CATALOGUE.get(name), checked()), name
        assert len(reason.split()) > 3, name


def test_a_member_past_its_end_is_named_with_its_group() -> None:
    end = CATALOGUE.get("fedora-44").end_of_life
    assert end is not None
    assert ("default", "fedora-44") not in list(ended_members(CATALOGUE, end))
    assert ("default", "fedora-44") in list(ended_members(CATALOGUE, end + timedelta(days=1)))


def test_a_reason_holds_for_its_own_group_only() -> None:
    groups = {**CATALOGUE.groups, "other": ("debian-11",)}
    catalogue = replace(CATALOGUE, groups=groups)
    assert list(ended_members(catalogue, checked())) == [("other", "debian-11")]


def test_the_figures_may_be_some_months_old_at_a_release() -> None:
    last = checked() + timedelta(days=LIMIT)
    catalogue = replace(CATALOGUE, groups={})
    assert age(catalogue, last) == LIMIT
    assert list(faults_at_release(catalogue, last)) == []
    [fault] = faults_at_release(catalogue, last + timedelta(days=1))
    assert str(catalogue.checked) in fault
    [fault] = faults_at_release(replace(catalogue, checked=None), last)
    assert "None" in fault


def test_the_release_check_ends_with_1_and_names_each_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert release_check.main(["--day", checked().isoformat()]) == 0
    assert "0 days old" in capsys.readouterr().out
    assert release_check.main(["--day", (checked() + timedelta(days=3650)).isoformat()]) == 1
    words = capsys.readouterr().err
    assert f"more than {LIMIT} days" in words
    assert "group default: debian-12 ended on 2028-06-30" in words
