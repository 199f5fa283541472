from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.images import debian_archive
from pytest_manylinux.images.apt import MachineApt, no_old_releases
from pytest_manylinux.images.debian_archive import ArchiveImages
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay, Distro, Image, ImagePurpose

DISTRO = load_catalogue().get("debian-12")
STATUS = "Package: {}\nStatus: install ok installed\nVersion: 1\n\n"


class FakeMachineApt(MachineApt):
    old = ""

    def sources(
        self, recipe: ArchiveRecipe, way: ArchiveWay = ArchiveWay.ALL_SUITES
    ) -> tuple[str, ...]:
        if way is ArchiveWay.OLD_RELEASES:
            if not self.old:
                raise no_old_releases(recipe.origin)
            return (self.old,)
        extras = recipe.extra_suites if way is ArchiveWay.ALL_SUITES else ()
        return (recipe.suite, *extras)

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
    monkeypatch.setattr(debian_archive, "run_mmdebstrap", fake)
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
    assert "debian-12: going on with the plain suite, without updates and security" in said


POOL = "http://m.example/sec/pool/updates/main/g/glibc/libc6_2.36-9%2bdeb12u9_amd64.deb"
GONE = f"E: Failed to fetch {POOL}  404  Not Found [IP: 127.0.0.1 80]"
NAME = "libc6_2.36-9+deb12u9_amd64.deb"


def _fails_by(*ways: ArchiveWay) -> Callable[[Making], tuple[str, ...]]:
    return lambda making: (GONE,) if making.recipe.way in ways else ()


def test_a_file_that_is_listed_and_not_there_leads_to_the_next_way(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap, said: list[str]
) -> None:
    mmdebstrap.fails = _fails_by(ArchiveWay.ALL_SUITES)
    image = _provide(images, ImagePurpose.TRIAL)
    assert "the plain suite" in image.note
    assert f"{NAME}: 404 Not Found" in image.note
    assert any(NAME in line for line in said)
    (stored,) = images.store.images()
    assert stored.record.recipe.way is ArchiveWay.PLAIN_SUITE
    assert NAME in stored.record.lacking


def test_what_was_made_by_a_later_way_is_there_for_the_next_run(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    mmdebstrap.fails = _fails_by(ArchiveWay.ALL_SUITES)
    first = _provide(images, ImagePurpose.TRIAL)
    before = len(mmdebstrap.makings)
    again = _provide(
        ArchiveImages(ImageStore(images.store.root), apt=FakeMachineApt()), ImagePurpose.TRIAL
    )
    assert (again, again.note) == (first, first.note)
    assert len(mmdebstrap.makings) == before


def test_a_build_image_is_grown_from_a_root_of_the_same_way(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    trial = _provide(images, ImagePurpose.TRIAL)
    mmdebstrap.fails = lambda making: (
        (GONE,) if making.base is not None and making.recipe.way is ArchiveWay.ALL_SUITES else ()
    )
    build = _provide(images, ImagePurpose.BUILD)
    assert "the plain suite" in build.note
    assert trial.note == ""
    ways = [(making.recipe.way, making.base is not None) for making in mmdebstrap.makings]
    assert ways == [
        (ArchiveWay.ALL_SUITES, False),
        (ArchiveWay.ALL_SUITES, True),
        (ArchiveWay.PLAIN_SUITE, False),
        (ArchiveWay.PLAIN_SUITE, True),
    ]


def test_a_build_does_not_try_what_the_trial_image_found_lacking(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    mmdebstrap.fails = _fails_by(ArchiveWay.ALL_SUITES)
    _provide(images, ImagePurpose.TRIAL)
    _provide(ArchiveImages(images.store, apt=FakeMachineApt()), ImagePurpose.BUILD)
    tried = [making.recipe.way for making in mmdebstrap.makings]
    assert tried.count(ArchiveWay.ALL_SUITES) == 1


def test_old_releases_are_the_last_way_and_past_their_dates(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMachineApt, "old", "http://old.example/debian")
    mmdebstrap.fails = _fails_by(ArchiveWay.ALL_SUITES, ArchiveWay.PLAIN_SUITE)
    assert "the archive of old releases" in _provide(images, ImagePurpose.TRIAL).note
    last = mmdebstrap.makings[-1]
    assert last.sources == ("http://old.example/debian",)
    assert not last.check_valid_until


def test_where_no_way_is_left_each_says_what_was_missing(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap
) -> None:
    mmdebstrap.fails = _fails_by(*ArchiveWay)
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            _provide(images, ImagePurpose.TRIAL)
        words = str(caught.value)
        assert "debian-12 could not be made: the mirror does not have this suite or file" in words
        assert words.count(NAME) == 2
        assert "all suites: http" in words
        assert "no archive of old debian releases is known here" in words
        assert "PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD" in words
    assert len(mmdebstrap.makings) == 2


def test_old_releases_out_of_reach_do_not_hide_what_was_missing(
    images: ArchiveImages, mmdebstrap: FakeMmdebstrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMachineApt, "old", "http://old.example/debian")
    line = "E: Failed to fetch http://old.example/debian/x  Could not resolve 'old.example'"
    mmdebstrap.fails = lambda making: (
        (line,) if making.recipe.way is ArchiveWay.OLD_RELEASES else (GONE,)
    )
    with pytest.raises(ImageError) as caught:
        _provide(images, ImagePurpose.TRIAL)
    assert f"{NAME}: 404" in caught.value.why
    assert "Could not resolve 'old.example'" in caught.value.why


def test_a_mirror_out_of_reach_is_asked_once(images: ArchiveImages, mmdebstrap: FakeMmdebstrap) -> None:
    line = f"E: Failed to fetch {POOL}  Could not connect to m.example:80 (192.0.2.1)."
    mmdebstrap.fails = lambda _: (line,)
    with pytest.raises(ImageError, match="out of reach"):
        _provide(images, ImagePurpose.TRIAL)
    assert len(mmdebstrap.makings) == 1


def test_a_row_names_its_own_ways(images: ArchiveImages, mmdebstrap: FakeMmdebstrap) -> None:
    assert DISTRO.archive is not None
    row = replace(DISTRO, archive=replace(DISTRO.archive, ways=(ArchiveWay.PLAIN_SUITE,)))
    assert "the plain suite" in _provide(images, ImagePurpose.TRIAL, row).note
    assert [making.sources for making in mmdebstrap.makings] == [("bookworm",)]


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
    with pytest.raises(ImageError, match="no archive of old debian releases"):
        _provide(images, ImagePurpose.TRIAL, catalogue.get("debian-10"))
    with pytest.raises(ImageError, match="no archive recipe"):
        _provide(images, ImagePurpose.TRIAL, replace(DISTRO, archive=None))
    with pytest.raises(ImageError, match="does not have debian-12 for riscv64"):
        _provide(images, ImagePurpose.TRIAL, arch="riscv64")
    assert mmdebstrap.makings == []
