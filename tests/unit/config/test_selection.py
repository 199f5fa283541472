"""The settings python, build and skip: what they leave of Pythons and platforms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.python import PythonVersion, parse_python
from pytest_manylinux.model.selection import (
    Selection,
    build_identifier,
    expand_braces,
    is_matched,
    parse_patterns,
    parse_pythons,
)
from pytest_manylinux.plan import targets_of

KNOWN = "cp38 cp39 cp310 cp311 cp312 cp313 cp313t cp314 cp314t cp315 cp315t pp39 pp310 pp311".split()  # noqa: SIM905 - a row of names
FOUR = "cp311-manylinux_x86_64 cp314t-musllinux_aarch64 pp311-manylinux_x86_64 cp39-manylinux_i686"
VERSIONS = {name: parse_python(name) for name in KNOWN}


def chosen(*words: str) -> list[str]:
    choice = parse_pythons(words, where="here")
    return [name for name, version in VERSIONS.items() if version in choice]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("cp314t",), "cp314t"),
        (("3.15",), "cp315"),
        (("pp311", "3.9"), "cp39 pp311"),
        (("cp311,cp313",), "cp311 cp313"),
        (("3.11-3.13",), "cp311 cp312 cp313"),
        (("cp313t-cp315t",), "cp313t cp314t cp315t"),
        (("pp310-pp311",), "pp310 pp311"),
        ((">=3.14",), "cp314 cp314t cp315 cp315t"),
        ((">3.13",), "cp314 cp314t cp315 cp315t"),
        (("<=3.9",), "cp38 cp39 pp39"),
        ((">=3.10,<3.12",), "cp310 cp311 pp310 pp311"),
        ((">= 3.10, <3.12",), "cp310 cp311 pp310 pp311"),
        ((">=3.10", "<3.12"), "cp310 cp311 pp310 pp311"),
        (("pp39, ==3.12",), "cp312 pp39"),
        (("~=3.14",), "cp314 cp314t cp315 cp315t"),
        ((">=3.14,!=3.15",), "cp314 cp314t"),
    ],
)
def test_pythons_by_name_range_and_comparison(words: tuple[str, ...], names: str) -> None:
    assert chosen(*words) == names.split()


@given(st.sampled_from(KNOWN), st.sampled_from(KNOWN))
def test_a_choice_is_read_back_from_its_words(one: str, other: str) -> None:
    for text in (f"{one} {other}", f"{one} >=3.11"):
        choice = parse_pythons([text], where="here")
        assert parse_pythons([str(choice)], where="here") == choice


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        # As bracex 3.2.3 expands them, the library that cibuildwheel 4.3.5 has for it.
        ("cp3{11,12}-*", "cp311-* cp312-*"),
        (
            "cp3{9,1{0..2}}-{many,musl}linux_*",
            (
                "cp39-manylinux_* cp39-musllinux_* cp310-manylinux_* cp310-musllinux_*"
                " cp311-manylinux_* cp311-musllinux_* cp312-manylinux_* cp312-musllinux_*"
            ),
        ),
        ("{cp,pp}311-*", "cp311-* pp311-*"),
        ("cp3{12..10}-*", "cp312-* cp311-* cp310-*"),
        ("cp3{11}-*", "cp3{11}-*"),
        ("cp3{11,12-*", "cp3{11,12-*"),
        ("cp3}11{9,10}", "cp3}119 cp3}1110"),
        ("a{b,}c", "abc ac"),
        ("*", "*"),
    ],
)
def test_braces_are_expanded_as_a_shell_does(pattern: str, words: str) -> None:
    assert expand_braces(pattern) == words.split()


@pytest.mark.parametrize(
    ("build", "skip", "identifiers"),
    [
        # What cibuildwheel 4.3.5's BuildSelector leaves of these four.
        (
            "*",
            "",
            FOUR,
        ),
        ("cp3{11,12}-*", "", "cp311-manylinux_x86_64"),
        ("*", "*-musllinux_* pp*", "cp311-manylinux_x86_64 cp39-manylinux_i686"),
        ("cp314*-* *_i686", "", "cp314t-musllinux_aarch64 cp39-manylinux_i686"),
        ("cp31?-*", "*_x86_64", ""),
        ("cp3[19]*-manylinux_*", "", "cp311-manylinux_x86_64 cp39-manylinux_i686"),
    ],
)
def test_build_and_skip_mean_what_they_mean_to_cibuildwheel(
    build: str, skip: str, identifiers: str
) -> None:
    selection = Selection(
        build=parse_patterns([build], where="here"), skip=parse_patterns([skip], where="here")
    )
    assert [one for one in FOUR.split() if not selection.left_out_by(one)] == identifiers.split()


@pytest.mark.parametrize(
    "pattern", ["*-win32", "cp312-macosx_*", "gp311_242-*", "cp36-*", "*-pyodide_wasm32", "*t-*"]
)
def test_patterns_for_other_systems_are_no_mistake(pattern: str) -> None:
    assert parse_patterns([pattern], where="here") == (pattern,)


def test_each_target_is_left_out_by_the_first_setting_that_does() -> None:
    targets = targets_of([load_catalogue().get("debian-12")], "aarch64", ())
    target = targets[0]
    assert build_identifier(target.interpreter.version, target.arch) == "cp311-manylinux_aarch64"

    def excluded(target: Target, **settings: tuple[str, ...]) -> str:
        return Selection(**settings).excluded_by(target)  # type: ignore[arg-type]

    assert excluded(target) == ""
    assert excluded(target, build=("cp312-*",)) == "build"
    assert excluded(target, skip=("*_aarch64",)) == "skip"
    assert Selection(python=parse_pythons(["3.12"], where="")).excluded_by(target) == "python"


@given(st.sampled_from(KNOWN), st.sampled_from(["x86_64", "riscv64"]))
def test_an_identifier_matches_itself_and_its_parts(name: str, arch: str) -> None:
    version: PythonVersion = VERSIONS[name]
    identifier = build_identifier(version, arch)
    assert is_matched(identifier, (identifier,))
    assert is_matched(identifier, (f"{name}-*",))
    assert not is_matched(identifier, (f"{name}t-*", f"*-musllinux_{arch}", name))


@pytest.mark.parametrize(
    ("python", "build", "named"),
    [
        ("pp39", "*", True),
        ("pp38-pp311", "*", True),
        (">=3.9", "*", False),
        ("", "*", False),
        ("", "pp39-*", True),
        ("", "{cp311,pp39}-manylinux_x86_64", True),
        ("", "pp3?-*", False),
        ("", "*-manylinux_x86_64", False),
        ("cp39", "*", False),
    ],
)
def test_a_python_is_named_or_only_left_in(python: str, build: str, *, named: bool) -> None:
    selection = Selection(python=parse_pythons([python], where=""), build=(build,))
    assert selection.names(parse_python("pp39")) == named
