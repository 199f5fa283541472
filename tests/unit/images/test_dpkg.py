from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.errors import StoreError
from pytest_manylinux.images.dpkg import identity, installed_packages

STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.36-9
Description: a library
 Version: not a field, but a line of the description

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: bash
Status: install ok installed
Version: 5.2
"""
NAMES = st.text("abcxyz019.+-", min_size=1)
PACKAGES = st.lists(st.tuples(NAMES, NAMES), min_size=1, unique=True)


def _root(folder: Path, status: str) -> Path:
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "var/lib/dpkg/status").write_text(status)
    return folder


def test_only_installed_packages_count_and_they_are_sorted(tmp_path: Path) -> None:
    packages = installed_packages(_root(tmp_path, STATUS))
    assert packages == (("bash", "5.2"), ("libc6", "2.36-9"))


def test_a_root_without_a_list_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        installed_packages(tmp_path)


@given(PACKAGES, st.randoms())
def test_identity_does_not_depend_on_order(packages: list[tuple[str, str]], random: object) -> None:
    shuffled = list(packages)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert identity("x86_64", shuffled) == identity("x86_64", packages)


@given(PACKAGES)
def test_identity_changes_with_a_version_a_package_and_the_architecture(
    packages: list[tuple[str, str]],
) -> None:
    (name, version), *rest = packages
    one = identity("x86_64", packages)
    assert identity("i686", packages) != one
    assert identity("x86_64", [(name, version + "~"), *rest]) != one
    assert identity("x86_64", rest) != one
