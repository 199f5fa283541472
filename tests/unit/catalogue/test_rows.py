from __future__ import annotations

from datetime import date

import pytest

from pytest_manylinux.catalogue.loader import parse_row
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import ArchiveWay
from pytest_manylinux.model.policy import Libc, LibcKind, musl

ROW: dict[str, object] = {
    "id": "example-1",
    "family": "example",
    "release": "1",
    "glibc": "2.36",
    "package-manager": "apt",
    "architectures": ["x86_64"],
    "interpreters": [{"version": "3.11", "packages": ["python3"]}],
}


def test_a_row_becomes_a_distro() -> None:
    archive = {"origin": "debian", "suite": "one", "check-valid-until": False}
    distro = parse_row({**ROW, "end-of-life": date(2030, 1, 2), "archive": archive}, where="here")
    assert distro.glibc == (2, 36)
    assert distro.title == "example-1"
    assert distro.end_of_life == date(2030, 1, 2)
    assert distro.archive is not None
    assert not distro.archive.check_valid_until
    assert distro.interpreters[0].version.tag == "cp311"
    assert distro.interpreters[0].executable == "/usr/bin/python3"


@pytest.mark.parametrize(
    ("keys", "ways"),
    [
        ({}, tuple(ArchiveWay)),
        ({"live": False}, (ArchiveWay.OLD_RELEASES,)),
        ({"ways": ["plain-suite"]}, (ArchiveWay.PLAIN_SUITE,)),
    ],
)
def test_a_row_names_its_ways(keys: dict[str, object], ways: tuple[ArchiveWay, ...]) -> None:
    archive = {"origin": "debian", "suite": "one", **keys}
    recipe = parse_row({**ROW, "archive": archive}, where="here").archive
    assert recipe is not None
    assert recipe.ways == ways


def test_a_way_that_does_not_exist_is_refused() -> None:
    archive = {"origin": "debian", "suite": "one", "ways": ["by-hand"]}
    with pytest.raises(UsageError, match="by-hand"):
        parse_row({**ROW, "archive": archive}, where="here")


def test_an_unknown_key_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_row({**ROW, "packagemanager": "apt"}, where="pyproject.toml")
    assert "pyproject.toml: example-1" in str(caught.value)
    assert "packagemanager" in str(caught.value)
    assert "perhaps you meant 'package-manager'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("glibc", "2", "'2' is not a glibc version"),
        ("libc", "glibc 2.36", "a row has one C library"),
        ("id", "Example 1", "cannot be an id"),
        ("architectures", "x86_64", "Expected `array`"),
        ("interpreters", [{"version": "py3", "packages": []}], "not a Python version"),
        ("end-of-life", "soon", "end-of-life"),
        ("target-release", "a;id", "target-release: 'a;id' cannot be one"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: object, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_row({**ROW, key: value}, where="here")
    assert word in str(caught.value)


@pytest.mark.parametrize("key", ["id", "family", "glibc", "interpreters"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_row({name: value for name, value in ROW.items() if name != key}, where="here")
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("libc", "wanted"), [("glibc 2.36", Libc(LibcKind.GLIBC, (2, 36))), ("musl 1.2.5", musl(1, 2, 5))]
)
def test_a_row_has_its_c_library_by_name(libc: str, wanted: Libc) -> None:
    row = {**{key: value for key, value in ROW.items() if key != "glibc"}, "libc": libc}
    assert parse_row(row, where="here").libc == wanted


@pytest.mark.parametrize("libc", ["musl", "musl 1.2", "uclibc 1.0", "glibc 2.36.1", "2.36"])
def test_a_c_library_that_is_none_is_refused(libc: str) -> None:
    row = {**{key: value for key, value in ROW.items() if key != "glibc"}, "libc": libc}
    with pytest.raises(UsageError, match="is not a C library"):
        parse_row(row, where="here")
