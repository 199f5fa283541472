from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from trial_values import make_distro, make_facts, make_observation, refused

from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.inspect.requirements import contradictory_requirements, needed_requirements
from pytest_manylinux.model.distro import Image, ImageSource, Target
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.trials.dependencies import (
    decisive_words,
    refuses_python,
    resolve_dependencies,
)

DISTRO = make_distro(python="3.11")
TARGET = Target(distro=DISTRO, arch="x86_64", interpreter=DISTRO.interpreters[0])


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("numpy", True),
        ("numpy>=1.2; python_version >= '3.9'", True),
        ("tomli; python_version < '3.11'", False),
        ("pytest; extra == 'test'", False),
        ("pywin32; sys_platform == 'win32'", False),
        ("x; platform_machine == 'x86_64' and implementation_name == 'cpython'", True),
        ("x; platform_machine == 'aarch64'", False),
        ("x; extra == 'a' and python_version >= '3'", False),
        ("exact; python_full_version < '3.11.3'", True),
        ("kernel; platform_release >= '6'", True),
        ("not a requirement at all ===", True),
    ],
)
def test_what_a_target_needs(line: str, needed: bool) -> None:  # noqa: FBT001
    assert needed_requirements([line], TARGET) == ((line,) if needed else ())


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ("", False),
        (">=3.10", False),
        (">=3.12", True),
        ("<3.11", True),
        (">=3.11.5,<3.11.9", False),
        ("~=3.11", False),
        ("!=3.11.*", True),
        ("no specifier", False),
    ],
)
def test_which_pythons_a_wheel_refuses(asked: str, *, refused: bool) -> None:
    assert refuses_python(asked, TARGET) == refused


NO_VERSION = """\
Processing /tmp/trial/wheel/demo-1.0-py3-none-any.whl
ERROR: Could not find a version that satisfies the requirement far>=3 (from demo) (from versions: none)
ERROR: No matching distribution found for far>=3
"""
CONFLICT = """\
Collecting one
INFO: pip is looking at multiple versions of demo to determine which version is compatible.
ERROR: Cannot install a==1 and one==2 because these package versions have conflicting dependencies.

The conflict is caused by:
    demo 1.0 depends on two<2
    one 2.0 depends on two>=2

To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit somewhere
"""
BROKEN = """\
WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError': /simple/one/
WARNING: Retrying (Retry(total=3)) after connection broken by 'NewConnectionError': /simple/one/
ERROR: No matching distribution found for one
"""


def test_a_requirement_without_a_version_is_decisive() -> None:
    assert decisive_words(NO_VERSION).splitlines() == NO_VERSION.splitlines()[1:]


def test_a_conflict_is_told_with_its_parties() -> None:
    words = decisive_words(CONFLICT)
    assert "demo 1.0 depends on two<2" in words
    assert "one 2.0 depends on two>=2" in words
    assert "loosen" not in words


def test_an_index_out_of_reach_is_told_once_and_first() -> None:
    words = decisive_words(BROKEN).splitlines()
    assert "connection broken by" in words[0]
    assert len(words) == 2


def test_unknown_words_are_kept() -> None:
    assert decisive_words("one\ntwo") == "one\ntwo"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (("a<1", "a>=2"), 1),
        (("a<1,>=2",), 1),
        (("A_b==1.*", "a-b>=2; python_version > '3'"), 1),
        (("a<1", "a>=0.9"), 0),
        (("a<1; python_version < '3'", "a>=2"), 0),
        (("a<1; platform_release > '9'", "a>=2"), 0),
        (("a<1", "a>=2; extra == 'x'"), 0),
        (("a @ https://example.org/a-3.whl", "a<1"), 0),
        (("demo>=2",), 1),
        (("demo[x]==1.0", "demo"), 0),
        (("demo>=2; extra == 'x'",), 0),
        (("a>=2.*", "a<1"), 0),
    ],
)
def test_requirements_that_nothing_can_meet(lines: tuple[str, ...], found: int) -> None:
    facts = make_facts(requires_dist=lines)
    assert facts.wheel.version == "1.0"
    assert len(list(contradictory_requirements(facts, TARGET))) == found


def test_an_extra_may_be_what_contradicts() -> None:
    facts = make_facts(requires_dist=("a<1", "a>=2; extra == 'x'"))
    assert list(contradictory_requirements(facts, TARGET, ("x",))) == [facts.requires_dist]


_VERSIONS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda v: f"{v[0]}.{v[1]}")
_LINES = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "~="]), _VERSIONS)


@given(st.lists(_LINES, min_size=1, max_size=4), _VERSIONS)
def test_what_is_called_contradictory_admits_no_version(
    lines: list[tuple[str, str]], version: str
) -> None:
    words = tuple(f"a{sign}{number}" for sign, number in lines)
    if any(contradictory_requirements(make_facts(requires_dist=words), TARGET)):
        assert not all(SpecifierSet(f"{sign}{number}").contains(version) for sign, number in lines)


def test_no_index_is_asked_about_what_none_can_meet(tmp_path: Path) -> None:
    facts = make_facts(requires_dist=("a<1", "a>=2"))
    image = Image(digest="sha256:0", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")
    engine = cast("Engine", None)
    folder = resolve_dependencies(
        facts.wheel, facts, TARGET, image, engine, cache=tmp_path, timeout=1.0
    )
    assert folder is not None
    assert list(folder.iterdir()) == []


def test_pips_refusal_of_contradictory_requirements_is_the_wheels_own_fault() -> None:
    facts = make_facts(requires_dist=("far<3", "far>=3"))
    install = refused(NO_VERSION)
    verdict = judge(facts, make_observation(install=install), TARGET, wheel=facts.wheel)
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert [finding.name for finding in verdict.errors] == ["install-failed"]
    assert "admits no version of far; pip 23.0.1: " in verdict.reason
    sound = make_facts(requires_dist=("far>=3",))
    lacking = judge(sound, make_observation(install=install), TARGET, wheel=sound.wheel)
    assert lacking.outcome is Outcome.NOT_PROVEN
