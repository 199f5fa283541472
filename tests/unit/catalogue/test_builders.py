from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.catalogue.builder_images import builder_for, load_builders
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.policy import Policy, parse_policy

BUILDERS = load_builders()


def test_every_image_has_a_repository_of_its_own_architecture() -> None:
    assert len({(image.policy, image.arch) for image in BUILDERS}) == len(BUILDERS)
    for image in BUILDERS:
        assert image.repository.endswith(f"{image.policy}_{image.arch}")
        assert not image.digest or re.fullmatch(r"sha256:[0-9a-f]{64}", image.digest)


@pytest.mark.parametrize(
    ("policy", "arch", "chosen"),
    [
        ("manylinux1", "x86_64", "manylinux1"),
        ("manylinux_2_17", "aarch64", "manylinux2014"),
        ("manylinux_2_20", "x86_64", "manylinux2014"),
        ("manylinux_2_28", "i686", "manylinux_2_28"),
        ("manylinux_2_99", "x86_64", "manylinux_2_34"),
        ("manylinux_2_35", "armv7l", "manylinux_2_35"),
    ],
)
def test_the_newest_image_that_keeps_the_policy_is_chosen(policy: str, arch: str, chosen: str) -> None:
    image = builder_for(BUILDERS, parse_policy(policy), arch)
    assert image is not None
    assert image.policy == chosen


def test_no_image_reaches_below_the_architectures_first_policy() -> None:
    assert builder_for(BUILDERS, parse_policy("manylinux1"), "aarch64") is None


@given(st.tuples(st.just(2), st.integers(5, 60)), st.sampled_from(["x86_64", "i686", "aarch64"]))
def test_the_chosen_image_never_breaks_the_policy(glibc: tuple[int, int], arch: str) -> None:
    image = builder_for(BUILDERS, Policy(glibc), arch)
    if image is None:
        assert arch == "aarch64"
        assert glibc < (2, 17)
    else:
        assert parse_policy(image.policy).version <= glibc


def test_what_to_pull_is_the_digest_or_else_the_tag() -> None:
    by_name = {(image.policy, image.arch): image for image in BUILDERS}
    assert "@sha256:" in by_name["manylinux_2_28", "x86_64"].reference
    assert by_name["manylinux1", "x86_64"].reference.endswith(":2024-04-29-76807b8")
    assert by_name["manylinux1", "i686"].prefix == ("linux32",)


def test_a_users_image_wins() -> None:
    row = {
        "policy": "manylinux2014",
        "repository": "registry.example/builder",
        "tag": "1",
        "architectures": ["x86_64"],
    }
    image = builder_for(load_builders([row]), parse_policy("manylinux2014"), "x86_64")
    assert image is not None
    assert image.reference == "registry.example/builder:1"


@pytest.mark.parametrize(
    "row",
    [{"policy": "manylinux2014"}, {"policy": "m", "repository": "r", "tag": "1", "architectures": []}],
)
def test_a_row_that_is_none_is_a_usage_error(row: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="pyproject"):
        load_builders([row], where="pyproject")
