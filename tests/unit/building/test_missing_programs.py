"""Programs that a build lacks, by the words of those that wanted them."""

from __future__ import annotations

import pytest

from pytest_manylinux.building.missing_programs import MISSING_PROGRAMS

WORDS = {
    "cargo": (
        "error: can't find Rust compiler",
        "💥 maturin failed\n  Cargo, the Rust package manager, is not installed or is not on PATH.",
        '  File "/scratch/env/lib/python3.11/site-packages/puccinialin/_target.py", line 9, in f',
        "sh: 1: cargo: not found",
        "FileNotFoundError: [Errno 2] No such file or directory: 'cargo'",
    ),
    "gfortran": (
        "../meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang-new'], ['flang']]",
        "CMake Error at CMakeLists.txt:2 (project):\n  No CMAKE_Fortran_COMPILER could be found.",
        "build.sh: 3: gfortran: not found",
    ),
    "pkg-config": (
        "ERROR: Dependency lookup failed: Pkg-config for machine host machine not found. Giving up.",
        "  Could NOT find PkgConfig (missing: PKG_CONFIG_EXECUTABLE)",
        "/bin/sh: line 1: pkg-config: command not found",
    ),
    "flex": (
        "make: flex: No such file or directory",
        "make[2]: flex: No such file or directory",
        "../meson.build:4:7: ERROR: Program 'flex' not found or not executable",
        "-- Could NOT find FLEX (missing: FLEX_EXECUTABLE)",
    ),
    "swig": ("error: command 'swig' failed: No such file or directory",),
    "git": ("LookupError: setuptools-scm was unable to detect version for /scratch/source.",),
}


@pytest.mark.parametrize(
    ("program", "words"), [(program, one) for program, all_ in WORDS.items() for one in all_]
)
def test_each_way_to_say_that_a_program_is_missing(program: str, words: str) -> None:
    said = f"compiling\n{words}\n== exit code 1"
    found = [one.remedy for one in MISSING_PROGRAMS if one.pattern.search(said)]
    assert found == [f'{program} is not there: build-packages = ["{program}"] brings it']


@pytest.mark.parametrize(
    "words",
    [
        "checking for flex... no",
        "Program flex found: NO",
        "cargo: error: file not found in the package",
        "error: src/make: not found by anyone",
        "No such file or directory: 'cargo/config.toml'",
        "-- Could NOT find Doxygen",
    ],
)
def test_other_words_are_of_something_else(words: str) -> None:
    assert [one.remedy for one in MISSING_PROGRAMS if one.pattern.search(words)] == []
