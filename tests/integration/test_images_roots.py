"""The roots that a machine makes itself are what the catalogue says they are."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from root_trees import differences, seen_inside

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images import ArchiveImages, ImageStore, debian_archive
from pytest_manylinux.images.mmdebstrap import Making
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose

pytestmark = pytest.mark.integration

OFTEN = ("debian-testing",)  # the newest way of each tool
CATALOGUE = load_catalogue()
DEBIANS = ("debian-11", "debian-12", "debian-13", "debian-testing")


def _provide(distro: Distro, purpose: ImagePurpose) -> Image:
    images = ArchiveImages(ImageStore(), say=print)
    return images.provide(distro, "x86_64", purpose, interpreter=distro.interpreters[0])


def _upstream(version: str) -> str:
    """The upstream part of a Debian version: `2.36-9+deb12u4` is 2.36."""
    return re.split(r"[-+]", version.rpartition(":")[2])[0]


@pytest.mark.parametrize("word", DEBIANS)
def test_a_trial_root_has_the_rows_python_pip_and_glibc(word: str) -> None:
    distro = CATALOGUE.get(word)
    image = _provide(distro, ImagePurpose.TRIAL)
    packages = dict(image.packages)
    root = Path(str(image.root))
    assert (root / "usr/bin/python3").resolve().name == f"python{distro.interpreters[0].version.dotted}"
    assert _upstream(packages["python3"]).startswith(f"{distro.interpreters[0].version.dotted}.")
    assert _upstream(packages["python3-pip"]) == distro.interpreters[0].pip
    glibc = distro.libc.number
    assert re.match(rf"{re.escape(glibc)}\b", packages["libc6"])
    assert not {"python3-dev", "gcc", "libpython3-dev"} & set(packages)


@pytest.mark.parametrize("word", DEBIANS)
def test_a_build_root_adds_headers_and_nothing_else_changes(word: str) -> None:
    distro = CATALOGUE.get(word)
    trial = _provide(distro, ImagePurpose.TRIAL)
    build = _provide(distro, ImagePurpose.BUILD)
    root = Path(str(build.root))
    version = distro.interpreters[0].version.dotted
    assert (root / f"usr/include/python{version}/Python.h").is_file()
    assert (root / "usr/include/crypt.h").is_file() or distro.interpreters[0].version.minor > 10
    assert set(trial.packages) <= set(build.packages)


@pytest.mark.parametrize("word", DEBIANS)
def test_nothing_of_the_host_is_in_a_root(word: str) -> None:
    root = Path(str(_provide(CATALOGUE.get(word), ImagePurpose.TRIAL).root))
    assert (root / "etc/resolv.conf").read_bytes() == b""
    assert (root / "etc/hostname").read_bytes() == b""
    assert list((root / "var/cache/apt").glob("*.bin")) == []
    assert list((root / "var/cache/apt/archives").glob("*.deb")) == []
    assert list((root / "var/lib/apt/lists").glob("*_*")) == []
    assert not (root / "etc/apt/apt.conf.d/00pytest-manylinux").exists()
    assert list((root / "proc").iterdir()) == []


@pytest.mark.parametrize(
    "word",
    [pytest.param(word, marks=[pytest.mark.managers] * (word not in OFTEN)) for word in DEBIANS],
)
def test_a_root_that_is_installed_at_one_go_is_as_mmdebstrap_makes_it(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distro = CATALOGUE.get(word)
    said: list[str] = []
    roots: list[Path] = []
    for name, at_one_go in (("go", True), ("steps", False)):
        monkeypatch.setattr(debian_archive, "Making", partial(Making, at_one_go=at_one_go))
        (tmp_path / name).mkdir()
        (tmp_path / name / "apt").symlink_to(tmp_path / "apt")  # nothing is fetched twice
        (tmp_path / "apt").mkdir(exist_ok=True)
        images = ArchiveImages(ImageStore(tmp_path / name), say=said.append)
        image = images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0])
        roots.append(Path(str(image.root)))
    assert sum("installing the base system" in words for words in said) == 1, said
    assert roots[0].parent.name == roots[1].parent.name  # the digest
    assert differences(*roots) == []
    assert seen_inside(roots[0]) == seen_inside(roots[1])
