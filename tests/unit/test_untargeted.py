"""Why a wheel has no target: the first thing that it wants and no target has, and what to do."""

from __future__ import annotations

import pytest
from packaging.tags import parse_tag

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.selection import Selection, parse_pythons
from pytest_manylinux.plan import targets_of
from pytest_manylinux.untargeted import Surroundings, Want, why_untargeted

ROWS = load_catalogue()
CHOSEN = tuple(ROWS.get(name) for name in ("debian-11", "debian-12"))
MISSING = {"s390x": "which does not run here: qemu is not installed (apt install it)"}


def around(*, python: str = "", arch: str = "x86_64") -> Surroundings:
    return Surroundings(
        targets=targets_of(CHOSEN, arch, ()),
        chosen=CHOSEN,
        distros=ROWS.distros,
        selection=Selection(python=parse_pythons([python], where="here")),
        missing=MISSING,
    )


@pytest.mark.parametrize(
    ("tag", "want", "words"),
    [
        ("cp311-cp311-macosx_11_0_arm64", Want.SYSTEM, "macOS, not for Linux"),
        ("cp311-cp311-win_amd64", Want.SYSTEM, "Windows, not for Linux"),
        ("cp311-cp311-musllinux_1_2_x86_64", Want.LIBC_KIND, "Linux with musl"),
        ("cp311-cp311-manylinux_2_17_aarch64", Want.ARCHITECTURE, "--manylinux-archs=aarch64"),
        ("cp311-cp311-manylinux_2_17_s390x", Want.ARCHITECTURE, "qemu is not installed"),
        ("py3-none-linux_armv6l", Want.ARCHITECTURE, "which no distro of the catalogue has"),
        ("cp312-cp312-manylinux_2_17_x86_64", Want.PYTHON, "for cp312, which no chosen distro has"),
        ("cp314-cp314t-manylinux_2_17_x86_64", Want.PYTHON, "for cp314t"),
        ("pp311-pypy311_pp73-manylinux_2_17_x86_64", Want.PYTHON, "for pp311"),
        ("cp315-abi3.abi3t-manylinux_2_17_x86_64", Want.PYTHON, "for cp315"),
        ("cp311-cp311-manylinux_2_39_x86_64", Want.LIBC_VERSION, "wants glibc 2.39"),
        ("py2-none-any", Want.PYTHON, "for py2"),
        ("jy27-none-any", Want.PYTHON, "for jy27; CPython, PyPy and GraalPy are all"),
        (
            "graalpy312-graalpy250_312_native-manylinux_2_17_x86_64",
            Want.PYTHON,
            "for gp312_250, which no",
        ),
        (
            "graalpy311-graalpy241_311_native-manylinux_2_17_x86_64",
            Want.PYTHON,
            "ABI graalpy241_311_native, and GraalPy 3.11 has graalpy242_311_native",
        ),
    ],
)
def test_reasons(tag: str, want: Want, words: str) -> None:
    found = why_untargeted(parse_tag(tag), around())
    assert found.want is want, found
    assert words in str(found)
    assert found.is_of_another_run is (want is not Want.LIBC_VERSION)


def test_distros_that_have_the_python_are_named() -> None:
    found = why_untargeted(parse_tag("cp312-cp312-manylinux_2_17_x86_64"), around())
    assert "ubuntu-24.04" in found.remedy or "more have it" in found.remedy


def test_a_python_that_a_chosen_distro_has_on_another_architecture_only() -> None:
    testing = ROWS.get("debian-testing")
    found = why_untargeted(
        parse_tag("cp311-cp311-manylinux_2_39_riscv64"),
        Surroundings(
            targets=targets_of([*CHOSEN, testing], "riscv64", ()),
            chosen=(*CHOSEN, testing),
            distros=ROWS.distros,
            missing={},
        ),
    )
    assert found.why == "it is for cp311, which no chosen distro has on riscv64"
    having = [
        distro
        for distro in ROWS.distros
        if distro.libc.is_glibc() and "3.11" in distro.pythons and "riscv64" in distro.architectures
    ]
    assert all(distro.id in found.remedy for distro in having[:3])
    assert bool(found.remedy) is bool(having), found.remedy


def test_a_python_that_the_setting_leaves_out() -> None:
    found = why_untargeted(parse_tag("cp39-cp39-manylinux_2_17_x86_64"), around(python="cp311"))
    assert (found.want, "for cp39" in found.why) == (Want.EXCLUDED, True)


def test_wheels_with_a_target_are_none_of_its_business() -> None:
    """The nearest platform of a wheel with several decides."""
    tags = parse_tag("cp312-cp312-manylinux_2_17_aarch64.manylinux_2_17_x86_64")
    assert why_untargeted(tags, around()).want is Want.PYTHON


def _ids(distros: tuple[Distro, ...]) -> list[str]:
    return [distro.id for distro in distros]


def test_the_ground_of_these_tests() -> None:
    targets: tuple[Target, ...] = targets_of(CHOSEN, "x86_64", ())
    assert {target.interpreter.version.id for target in targets} == {"cp39", "cp311", "pp37", "pp39"}
    assert _ids(CHOSEN) == ["debian-11", "debian-12"]
