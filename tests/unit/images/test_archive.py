from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.images import archive
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.images.archive import ArchiveImages
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import ArchiveRecipe, Distro, Image, ImagePurpose

DISTRO = load_catalogue().get("debian-12")
STATUS = "Package: {}\nStatus: install ok installed\nVersion: 1\n\n"


class FakeMachineApt(MachineApt):
    def sources(self, recipe: ArchiveRecipe, *, extras: bool = True) -> tuple[str, ...]:
        return (recipe.suite, *recipe.extra_suites) if extras else (recipe.suite,)

    def transport(self) -> str:
        return ""


class FakeMmdebstrap:
    """Makes roots with the packages that it was asked for, or fails as told."""

    def __init__(self) -> None:
        self.makings: list[Making] = []
        self.fails: Callable[[Making], tuple[str, ...]] = lambda _: ()

    def __call__(self, making: Making, listener: Callable[[str], None]) -> None:
        self.makings.append(making)
        listener("I: running apt-get update...")
        (making.folder / "log").write_text("log\n")
        if lines := self.fails(making):
            raise MmdebstrapFailedError(lines)
        status = making.folder / "root/var/lib/dpkg/status"
        status.parent.mkdir(parents=True)
        names = (*making.recipe.base, *making.recipe.packages)
        status.write_text("".join(STATUS.format(name) for name in names))


@pytest.fixture
def mmdebstrap(monkeypatch: pytest.MonkeyPatch) -> FakeMmdebstrap:
    fake = FakeMmdebstrap()
    monkeypatch.setattr(archive, "run_mmdebstrap", fake)
    return fake


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def images(store: ImageStore, said: list[str]) -> ArchiveImages:
    return ArchiveImages(store, say=said.append, apt=FakeMachineApt())


def _provide(
    images: ArchiveImages, purpose: ImagePurpose, distro: Distro = DISTRO, arch: str = "x86_64"
) -> Image:
    return images.provide(distro, arch, purpose, interpreter=distro.interpreters[0])


def test_an_image_is_made_once(images: ArchiveImages, mmdebstrap: FakeMmdebstrap) -> None:
    first = _provide(images, ImagePurpose.TRIAL)
    second = _provide(ArchiveImages(ImageStore(images.store.root)), ImagePurpose.TRIAL)
    assert first == second
    assert len(mmdebstrap.makings) == 1


def test_a_build_image_is_grown_from_the_trial_image(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    build = _provide(images, ImagePurpose.BUILD)
    trial = _provide(images, ImagePurpose.TRIAL)
    assert [making.base for making in mmdebstrap.makings] == [None, Path(str(trial.root))]
    assert set(trial.packages) < set(build.packages)
    assert build.digest != trial.digest


def test_progress_names_the_distro(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap, said: list[str]
) -> None:
    _provide(images, ImagePurpose.TRIAL)
    assert mmdebstrap.makings
    assert said[:2] == ["debian-12: making the root, once", "debian-12: reading package lists"]


def test_a_mirror_without_the_extra_suites_is_enough(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap, said: list[str]
) -> None:
    line = (
        "E: The repository 'http://m.example bookworm-security Release' does not have a Release file."
    )
    mmdebstrap.fails = lambda making: (line,) if len(making.sources) > 1 else ()
    assert _provide(images, ImagePurpose.TRIAL).packages
    assert [len(making.sources) for making in mmdebstrap.makings] == [3, 1]
    assert "debian-12: going on without bookworm-security" in said


def test_a_failure_keeps_the_log_and_nothing_else(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    mmdebstrap.fails = lambda _: ("E: Unable to locate package nonsense",)
    with pytest.raises(ImageError) as caught:
        _provide(images, ImagePurpose.TRIAL)
    assert "logs/debian-12.log" in str(caught.value)
    assert (images.store.root / "logs/debian-12.log").read_text() == "log\n"
    assert list((images.store.root / "aside").iterdir()) == []
    assert images.store.images() == ()


def test_a_full_disk_is_the_stores_error(images: ArchiveImages, mmdebstrap: FakeMmdebstrap) -> None:
    mmdebstrap.fails = lambda _: ("tar: write error: No space left on device",)
    with pytest.raises(StoreError, match="no room left"):
        _provide(images, ImagePurpose.TRIAL)


def test_what_cannot_be_made_is_refused_before_anything_runs(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    catalogue = load_catalogue()
    with pytest.raises(ImageError, match="historical archive"):
        _provide(images, ImagePurpose.TRIAL, catalogue.get("debian-10"))
    with pytest.raises(ImageError, match="no archive recipe"):
        _provide(images, ImagePurpose.TRIAL, replace(DISTRO, archive=None))
    with pytest.raises(ImageError, match="does not exist for riscv64"):
        _provide(images, ImagePurpose.TRIAL, arch="riscv64")
    assert mmdebstrap.makings == []
