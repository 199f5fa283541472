from __future__ import annotations

import pytest
from trial_values import make_distro

from pytest_manylinux.model.distro import Target
from pytest_manylinux.trials.dependencies import decisive_words, needed_requirements, refuses_python

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
