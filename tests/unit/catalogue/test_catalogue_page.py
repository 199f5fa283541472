from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.catalogue.builder_images import load_builders
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.packages import PackageManager

PAGE = (Path(__file__).parents[3] / "docs/reference/catalogue.md").read_text("utf-8")
CATALOGUE = load_catalogue()


@pytest.mark.parametrize("distro", CATALOGUE.distros, ids=lambda distro: str(distro.id))
def test_every_row_is_on_the_page_as_it_is(distro: Distro) -> None:
    (line,) = [
        line for line in PAGE.splitlines() if line.startswith(f"| `{distro.id}` | {_glibc(distro)} ")
    ]
    pythons = ", ".join(
        name + "*" * one.measured for name, one in zip(distro.pythons, distro.interpreters, strict=True)
    )
    assert f"| {pythons} |" in line
    assert (f"`{distro.image}`" if distro.image else "| from source |") in line


def test_every_group_manager_and_builder_is_on_the_page() -> None:
    words = [
        *CATALOGUE.group_names,
        *(manager.value for manager in PackageManager),
        *(image.policy for image in load_builders()),
        *(image.tag for image in load_builders()),
    ]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def _glibc(distro: Distro) -> str:
    return distro.libc.number if distro.libc.is_glibc() else str(distro.libc)
