from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images.image_survey import (
    Drift,
    LiveFigures,
    LivePython,
    defined_versions,
    drift,
    symbol_maxima,
)
from pytest_manylinux.model.distro import Survey, SurveyedLibrary
from pytest_manylinux.model.policy import Libc, LibcKind

DISTRO = load_catalogue().get("debian-12")


def _live(libc: str = "2.36", python: str = "3.11.2", pip: str = "23.0.1", *more: str) -> LiveFigures:
    versions = {f"{k}_{v}" for k, v in DISTRO.symbols_on("x86_64").items()} | set(more)
    library = SurveyedLibrary(soname="libc.so.6", path="/lib/libc.so.6", versions=frozenset(versions))
    return LiveFigures(
        libc=Libc(LibcKind.GLIBC, tuple(map(int, libc.split(".")))),
        pythons=(LivePython(executable="/usr/bin/python3", version=python, pip=pip),),
        survey=Survey(distro="debian-12", image="sha256:x", arch="x86_64", libraries=(library,)),
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1))
def test_the_maximum_is_by_number_and_not_by_letter(versions: list[tuple[int, int]]) -> None:
    names = [f"GLIBC_{major}.{minor}" for major, minor in versions]
    major, minor = max(versions)
    assert symbol_maxima(names) == {"GLIBC": f"{major}.{minor}"}


def test_private_names_do_not_count() -> None:
    names = ["GLIBC_PRIVATE", "libc.so.6", "GLIBC_ABI_DT_RELR", "CXXABI_TM_1", "CXXABI_1.3.13"]
    assert symbol_maxima(names) == {"CXXABI": "1.3.13", "GLIBC_ABI": "DT_RELR"}


def test_an_image_that_is_as_the_row_says_has_no_drift() -> None:
    assert list(drift(DISTRO, _live())) == []


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (_live(libc="2.37"), Drift(figure="glibc", row="2.36", live="2.37")),
        (_live(python="3.12.1"), Drift(figure="python3", row="3.11", live="3.12.1")),
        (_live(python="3.1.1"), Drift(figure="python3", row="3.11", live="3.1.1")),
        (_live(pip="24.0"), Drift(figure="python3's pip", row="23.0.1", live="24.0")),
        (_live(python="", pip="23.0.1"), Drift(figure="python3", row="3.11", live="missing")),
        (
            _live("2.36", "3.11.2", "23.0.1", "GLIBCXX_3.4.99"),
            Drift(figure="GLIBCXX", row="3.4.30", live="3.4.99"),
        ),
    ],
)
def test_each_drift_is_named(live: LiveFigures, expected: Drift) -> None:
    assert list(drift(DISTRO, live)) == [expected]


def test_a_library_that_should_be_absent_is_named() -> None:
    row = replace(DISTRO, absent_libraries=("libc.so.6",))
    assert list(drift(row, _live())) == [Drift(figure="libc.so.6", row="absent", live="present")]


def test_a_file_that_is_no_library_defines_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x7fELFnot really")
    assert defined_versions(tmp_path / "file") == frozenset()
    assert defined_versions(tmp_path / "none") == frozenset()
