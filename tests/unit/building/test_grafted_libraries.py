"""Which policy has what libraries want that repair would graft; the rules are auditwheel's own."""

from __future__ import annotations

import pytest

from pytest_manylinux.building.api import Pip, Toolchain
from pytest_manylinux.building.grafted_libraries import GraftedLibrary, too_recent
from pytest_manylinux.model.policy import Policy

POLICIES = tuple(Policy((2, minor)) for minor in (5, 12, 17, 28, 34, 35, 39))


def chain(policy: Policy) -> Toolchain:
    return Toolchain(
        policy=policy, policies=POLICIES, python="python3", tools_python="python3", pip=Pip(command=())
    )


def library(name: str, *versions: str) -> GraftedLibrary:
    wants = {version: f"f_{number}" for number, version in enumerate(versions)}
    return GraftedLibrary(name=name, needed_by="x.so", path=f"/usr/lib/{name}", wants=wants)


@pytest.mark.parametrize(
    ("libraries", "because", "enough"),
    [
        ([library("liba.so.1", "GLIBC_2.2.5", "GLIBC_2.34")], "f_1 of liba.so.1 wants glibc 2.34", 34),
        (
            [library("liba.so.1", "GLIBC_2.34"), library("libb.so.1", "GLIBCXX_3.4.30")],
            "f_0 of libb.so.1 wants GLIBCXX_3.4.30",
            35,
        ),
        ([library("liba.so.1", "ZLIB_1.2.9")], "f_0 of liba.so.1 wants ZLIB_1.2.9", 28),
        ([library("liba.so.1", "GLIBC_2.99")], "f_0 of liba.so.1 wants glibc 2.99", None),
        ([library("libb.so.1", "GLIBC_2.7")], "f_0 of libb.so.1 wants glibc 2.7", 12),
    ],
    ids=["glibc", "libstdc++", "zlib", "no-policy", "the-next"],
)
def test_the_worst_of_all_kinds_decides(
    libraries: list[GraftedLibrary], because: str, enough: int | None
) -> None:
    worst, policy = too_recent(libraries, chain(POLICIES[0]), "x86_64")[0]
    assert worst.because == because
    assert policy == (Policy((2, enough)) if enough else None)


def test_what_a_policy_has_is_not_named() -> None:
    fine = [library("liba.so.1", "GLIBC_2.17", "OWN_1.0"), library("libstdc++.so.6", "GLIBC_2.99")]
    assert too_recent(fine, chain(Policy((2, 17))), "x86_64") == []
