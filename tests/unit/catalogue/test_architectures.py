"""What official images exist for, apart from what an archive has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.model.distro import Distro

CATALOGUE = load_catalogue()


@pytest.mark.parametrize("distro", CATALOGUE.distros, ids=lambda distro: str(distro.id))
def test_every_architecture_of_a_row_has_an_image_or_an_archive(distro: Distro) -> None:
    named = [
        *(distro.image_architectures or ()),
        *((distro.archive and distro.archive.architectures) or ()),
    ]
    assert set(named) <= set(distro.architectures)
    assert len(set(distro.architectures)) == len(distro.architectures)
    for arch in distro.architectures:
        assert distro.has_image(arch) or distro.has_archive(arch), arch


@pytest.mark.parametrize(
    ("name", "arch", "image", "archive"),
    [
        ("debian-11", "s390x", False, False),
        ("debian-12", "s390x", False, True),
        ("debian-12", "ppc64le", True, True),
        ("debian-13", "riscv64", True, True),
        ("debian-13", "loongarch64", False, False),
        ("debian-testing", "loongarch64", False, True),
        ("debian-10", "x86_64", True, True),  # of old releases
        ("almalinux-10", "i686", True, False),
        ("almalinux-kitten-10", "riscv64", True, False),
        ("mageia-10", "armv7l", True, False),
    ],
)
def test_both_are_known(name: str, arch: str, image: bool, archive: bool) -> None:  # noqa: FBT001
    distro = CATALOGUE.get(name)
    assert (distro.has_image(arch), distro.has_archive(arch)) == (image, archive)


def test_an_archive_of_old_releases_is_not_the_mirrors() -> None:
    assert not CATALOGUE.get("debian-10").has_archive("x86_64", on_mirrors=True)
    assert CATALOGUE.get("debian-11").has_archive("x86_64", on_mirrors=True)


def test_neither_reaches_beyond_the_distro() -> None:
    distro = replace(CATALOGUE.get("debian-12"), architectures=("s390x",))
    assert not distro.has_image("x86_64")
    assert not distro.has_archive("x86_64")
    assert not replace(distro, image=None, image_architectures=None).has_image("s390x")


def test_an_archive_may_have_fewer() -> None:
    row = {"id": "acme-1", "like": "debian-12"}
    archive = {"origin": "debian", "suite": "bookworm", "architectures": ["x86_64"]}
    distro = load_catalogue([{**row, "archive": archive}]).get("acme-1")
    assert distro.has_archive("x86_64")
    assert not distro.has_archive("aarch64")


def test_another_image_may_exist_for_more() -> None:
    own = load_catalogue([{"id": "debian-12", "image": "mirror.example/debian:12"}]).get("debian-12")
    assert own.has_image("s390x")
    assert not load_catalogue([{"id": "acme-1", "like": "debian-12"}]).get("acme-1").has_image("s390x")
