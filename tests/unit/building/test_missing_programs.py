"""Programs that a build lacks, by the words of those that wanted them."""

from __future__ import annotations

import pytest

from pytest_manylinux.building.api import Pip, Toolchain
from pytest_manylinux.building.development_packages import missing_libraries
from pytest_manylinux.building.missing_from_python import UNDECLARED_MODULE
from pytest_manylinux.building.missing_programs import OLD_RUST, missing_programs
from pytest_manylinux.model.policy import parse_policy

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
        "error: Unable to invoke pkg-config.",
        "Exception: Can not find valid pkg-config name.",
        "'pkg-config' is required to install this package. Please see the README for details.",
        "RuntimeError: pkg-config could not be found",
    ),
    "flex": (
        "make: flex: No such file or directory",
        "make[2]: flex: No such file or directory",
        "../meson.build:4:7: ERROR: Program 'flex' not found or not executable",
        "-- Could NOT find FLEX (missing: FLEX_EXECUTABLE)",
    ),
    "make": (
        'CMake Error: CMake was unable to find a build program corresponding to "Unix Makefiles".',
        "error: [Errno 2] No such file or directory: 'make'",
    ),
    "swig": (
        "error: command 'swig' failed: No such file or directory",
        "ERROR: swig is not installed",
        "RuntimeError: Unable to find 'swig' on PATH",
        "Please install swig.",
    ),
    "git": (
        "LookupError: setuptools-scm was unable to detect version for /scratch/source.",
        "CMake Error: error: could not find git for clone of datasketches-populate",
        "../meson.build:14:14: ERROR: Git program not found, cannot download lib.wrap via git.",
    ),
}


@pytest.mark.parametrize(
    ("program", "words"), [(program, one) for program, all_ in WORDS.items() for one in all_]
)
def test_each_way_to_say_that_a_program_is_missing(program: str, words: str) -> None:
    said = f"compiling\n{words}\n== exit code 1"
    found = [one.remedy for one in missing_programs() if one.pattern.search(said)]
    assert found == [f'{program} is not there: build-packages = ["{program}"] brings it']


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'curl-config'",
            "libcurl4-openssl-dev",
        ),
        ("Error: pg_config executable not found.", "libpq-dev"),
        (
            (
                "CalledProcessError: Command 'krb5-config --libs gssapi' returned non-zero exit "
                "status 127."
            ),
            "libkrb5-dev",
        ),
        (
            (
                "CalledProcessError: Command '('krb5-config --cflags krb5',)' returned non-zero exit "
                "status 127."
            ),
            "libkrb5-dev",
        ),
        ("/bin/sh: 1: xml2-config: not found", "libxml2-dev"),
        ("error: command 'as' failed: No such file or directory", "binutils"),
    ],
)
def test_a_librarys_own_program_is_brought_by_its_package(words: str, package: str) -> None:
    [found] = [one.remedy for one in missing_programs() if one.pattern.search(words)]
    assert str(found).endswith(f' is not there: build-packages = ["{package}"] brings it')


def test_what_the_index_has_as_well_may_come_from_there() -> None:
    words = "error: [Errno 2] No such file or directory: 'cmake'"
    [found] = [one.remedy for one in missing_programs() if one.pattern.search(words)]
    assert '"cmake" in [build-system] requires' in str(found)


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
    assert [one.remedy for one in missing_programs() if one.pattern.search(words)] == []


@pytest.mark.parametrize(
    "words",
    [
        "fatal: could not find git repository in /scratch/source",
        "error: cannot find patch-level of the library",
        "libcurl-config is required",
        "error: make_default is required",
        "Cannot find make_unique in namespace std",
        "Unable to find patches of that release",
        "a compiler such as is required",
    ],
)
def test_a_programs_name_in_other_words_is_no_missing_program(words: str) -> None:
    assert [one.remedy for one in missing_programs() if one.pattern.search(words)] == []


@pytest.mark.parametrize(
    "words",
    [
        "  lock file version `4` was found, but this version of Cargo does not understand this",
        "error: package `syn v3.0.0` cannot be built because it requires rustc 1.71 or newer",
        "  feature `edition2024` is required",
    ],
)
def test_an_old_rust_is_told_with_a_newer_one(words: str) -> None:
    [said] = OLD_RUST.advice(words)
    assert 'build-packages = ["cargo-web"]' in said


def test_what_an_installed_package_has_is_told_once() -> None:
    chain = Toolchain(
        policy=parse_policy("manylinux1"),
        python="python3",
        tools_python="python3",
        pip=Pip(command=("pip",)),
        known_failures=missing_libraries(["libssl-dev"]),
    )
    names = ("openssl/aes.h", "openssl/evp.h", "zlib.h")
    said = chain.advice("".join(f"x.c:1:1: fatal error: '{name}' file not found\n" for name in names))
    assert [one.partition(" ")[0] for one in said] == ["openssl/aes.h", "zlib.h"]


def test_packages_for_several_causes_are_told_as_one_line_of_the_table() -> None:
    chain = Toolchain(
        policy=parse_policy("manylinux1"),
        python="python3",
        tools_python="python3",
        pip=Pip(command=("pip",)),
        known_failures=(*missing_programs(), UNDECLARED_MODULE, *missing_libraries()),
    )
    log = (
        "ERROR: Dependency lookup for dbus-1 with method 'pkg-config' failed: "
        "Pkg-config for machine host machine not found. Giving up.\n"
        "ModuleNotFoundError: No module named 'mako'\n"
    )
    packages, module = chain.advice(log)
    assert packages == (
        "pkg-config is not there, dbus-1.pc is not there: "
        'build-packages = ["pkg-config", "libdbus-1-dev"] brings them'
    )
    assert module.startswith("mako is not in the build's environment: [build-system] requires")
