"""The oldest releases that a wheel admits: pins, and what pip's words make of them."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from pytest_manylinux.trials.dependencies import Pin, lowest_pins, nearer_pins


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["numpy>=1.24"], ["numpy==1.24,>=1.24"]),
        (["numpy>=1.24,<3", "NumPy>=1.26"], ["numpy==1.26,<3,>=1.24,>=1.26"]),
        (["a~=1.4.2", "b==2.*", "c===1"], ["a==1.4.2,~=1.4.2", "b==2,==2.*"]),
        (["a>1"], ["a==1,>1"]),
        (["a", "b<2", "c!=1", "sibling>=1", "x @ https://example.org/x.zip", "broken >"], []),
        (["a[more]>=1; extra == 'x'"], ["a==1,>=1"]),
    ],
)
def test_lower_bounds_become_pins(lines: list[str], expected: list[str]) -> None:
    assert [str(pin) for pin in lowest_pins(lines, {"sibling"})] == expected


def pin(name: str, specifier: str, version: str) -> Pin:
    return Pin(name=name, specifier=SpecifierSet(specifier), version=version)


OLD = "ERROR: Could not find a version that satisfies the requirement one==1,>=1 (from versions: {})"
NEW = OLD.replace(" (from versions", " (from demo) (from versions")


@pytest.mark.parametrize("words", [OLD, NEW])
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ("0.9, 1.0.1, 1.2", "1.0.1"),
        ("1.2, 1.0.5, 2.0a1, nonsense", "1.0.5"),
        ("none", None),
        ("0.8, 0.9", None),
        ("1, 1.1", None),  # that it was asked for
    ],
)
def test_the_oldest_version_that_pip_names_takes_the_pins_place(
    words: str, versions: str, expected: str | None
) -> None:
    pins = (pin("zero", ">=1", "1"), pin("one", ">=1", "1"))
    found = nearer_pins(pins, words.format(versions))
    assert [one.version for one in found] == (["1", expected] if expected else [])


def test_words_of_something_else_change_nothing() -> None:
    assert nearer_pins((pin("other", ">=1", "1"),), OLD.format("1.1")) == ()
    assert nearer_pins((), OLD.format("1.1")) == ()
