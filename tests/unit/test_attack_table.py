from __future__ import annotations

from collections import Counter

import pytest
from attack_table import table


def test_the_table_counts_what_was_tried_and_what_held() -> None:
    tried = {
        ("forgery", "one"): Counter({"docker": 2, "bubblewrap": 1}),
        ("limit", "two"): Counter({"docker": 1}),
    }
    held = {("forgery", "one"): Counter({"docker": 1, "bubblewrap": 1}), ("limit", "two"): Counter()}
    lines = [line.split() for line in table(tried, held)]
    assert lines[0][-2:] == ["bubblewrap", "docker"]
    assert ["one", "1/1", "1/2"] in lines
    assert ["two", "-", "0/1"] in lines
    assert lines[-1] == ["all", "1/1", "1/3"]


def test_a_failure_is_no_row_that_held(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = attack(kind, engine): a row\n")
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError

        @pytest.mark.attack("limit", engine="docker")
        def test_it_holds(): pass

        @pytest.mark.attack("limit", engine="docker")
        def test_it_breaks(): assert False

        @pytest.mark.attack("limit", engine="docker")
        def test_it_breaks_afterwards(broken): pass

        @pytest.mark.attack("limit", engine="docker")
        def test_it_is_left_out(): pytest.skip("no such thing here")
    """)
    result = pytester.runpytest_inprocess("-p", "attack_table", "-p", "no:cacheprovider")
    rows = [line.split() for line in result.outlines]
    assert ["it", "holds", "1/1"] in rows
    assert ["it", "breaks", "0/1"] in rows
    assert ["it", "breaks", "afterwards", "0/1"] in rows
    assert ["all", "1/3"] in rows
    assert not any("left" in row for row in rows)
