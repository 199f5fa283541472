from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.run_images import ImageSources
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, ImageSource, Interpreter

CATALOGUE = load_catalogue()
DEBIAN, FEDORA = CATALOGUE.get("debian-12"), CATALOGUE.get("fedora-44")


class FakeImages:
    def __init__(self, source: ImageSource, *, fails: bool = False) -> None:
        self.source = source
        self.fails = fails

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        if self.fails:
            raise ImageError("it could not be pulled", why="connection refused")
        name = f"{distro.id} {purpose.value} {extra_packages} {interpreter.version}"
        return Image(digest="sha256:x", name=name, source=self.source, arch=arch)


def _provide(
    distro: Distro,
    choice: str,
    *,
    registry: bool | None = True,
    said: list[str] | None = None,
    arch: str = "x86_64",
) -> Image:
    """`registry`: whether it answers; None for an engine without one."""
    sources = ImageSources(
        archive=FakeImages(ImageSource.ARCHIVE),
        registry=None if registry is None else FakeImages(ImageSource.REGISTRY, fails=not registry),
        choice=choice,
        say=(said if said is not None else []).append,
    )
    return sources.provide(distro, arch, ImagePurpose.TRIAL, interpreter=distro.interpreters[0])


@pytest.mark.parametrize(
    ("choice", "registry", "source"),
    [
        ("auto", True, ImageSource.REGISTRY),
        ("auto", False, ImageSource.ARCHIVE),
        ("auto", None, ImageSource.ARCHIVE),
        ("archive", True, ImageSource.ARCHIVE),
        ("registry", True, ImageSource.REGISTRY),
    ],
)
def test_the_setting_decides(choice: str, registry: bool | None, source: ImageSource) -> None:  # noqa: FBT001
    assert _provide(DEBIAN, choice, registry=registry).source is source


def test_going_over_to_the_archive_is_said() -> None:
    said: list[str] = []
    image = _provide(DEBIAN, "auto", registry=False, said=said)
    assert said == [
        "debian-12: not the official image, but a root from the archive: connection refused"
    ]
    assert image.note == "not the official image, but a root from the archive: connection refused"


def test_when_both_fail_both_are_told() -> None:
    sources = ImageSources(
        archive=FakeImages(ImageSource.ARCHIVE, fails=True),
        registry=FakeImages(ImageSource.REGISTRY, fails=True),
        choice="auto",
        say=print,
    )
    with pytest.raises(ImageError) as caught:
        sources.provide(DEBIAN, "x86_64", ImagePurpose.TRIAL, interpreter=DEBIAN.interpreters[0])
    assert caught.value.why.count("connection refused") == 2


def test_a_pinned_distro_comes_as_pinned_or_not_at_all() -> None:
    sources = ImageSources(
        archive=FakeImages(ImageSource.ARCHIVE),
        registry=FakeImages(ImageSource.REGISTRY, fails=True),
        choice="auto",
        say=print,
        pinned={"debian-12"},
    )
    with pytest.raises(ImageError, match="could not be pulled"):
        sources.provide(DEBIAN, "x86_64", ImagePurpose.TRIAL, interpreter=DEBIAN.interpreters[0])


def test_a_distro_that_cannot_be_made_keeps_the_registrys_error() -> None:
    with pytest.raises(ImageError, match="could not be pulled"):
        _provide(FEDORA, "auto", registry=False)


def test_an_old_release_comes_from_the_archive_too() -> None:
    old = CATALOGUE.get("debian-10")
    assert _provide(old, "auto", registry=False).source is ImageSource.ARCHIVE


def test_the_registry_alone_is_never_replaced() -> None:
    with pytest.raises(ImageError, match="could not be pulled"):
        _provide(DEBIAN, "registry", registry=False)


def test_without_a_registry_the_error_says_why_none_is_asked() -> None:
    sources = ImageSources(
        archive=FakeImages(ImageSource.ARCHIVE),
        registry=None,
        choice="auto",
        say=print,
        without="the registry r does not answer: no route",
    )
    with pytest.raises(ImageError, match="fedora-44: its image comes from a registry") as caught:
        sources.provide(FEDORA, "x86_64", ImagePurpose.TRIAL, interpreter=FEDORA.interpreters[0])
    assert caught.value.why == "the registry r does not answer: no route"


@pytest.mark.parametrize("choice", ["auto", "archive", "registry"])
def test_an_image_that_is_a_file_comes_from_there(choice: str) -> None:
    row = replace(DEBIAN, image="docker-archive:/images/debian.tar")
    sources = ImageSources(
        archive=FakeImages(ImageSource.ARCHIVE),
        registry=FakeImages(ImageSource.REGISTRY),
        choice=choice,
        say=print,
        files=FakeImages(ImageSource.LOCAL),
    )
    image = sources.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=row.interpreters[0])
    assert image.source is ImageSource.LOCAL


def test_a_row_without_image_comes_from_the_archive() -> None:
    assert _provide(replace(DEBIAN, image=None), "auto").source is ImageSource.ARCHIVE


def test_an_architecture_that_the_image_does_not_exist_for_comes_from_the_archive() -> None:
    said: list[str] = []
    assert _provide(DEBIAN, "auto", said=said, arch="s390x").source is ImageSource.ARCHIVE
    assert said == []  # nothing failed: there is no such image
    assert _provide(DEBIAN, "auto", arch="ppc64le").source is ImageSource.REGISTRY


def test_an_archive_without_the_architecture_stands_in_for_no_registry() -> None:
    assert DEBIAN.archive is not None
    some = replace(DEBIAN, archive=replace(DEBIAN.archive, architectures=("aarch64",)))
    with pytest.raises(ImageError, match="could not be pulled"):
        _provide(some, "auto", registry=False)
