from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image

STATUS = "Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"


def fake_root(folder: Path, **packages: str) -> None:
    """What an image's folder looks like when mmdebstrap is through with it."""
    info = folder / "root/var/lib/dpkg"
    info.mkdir(parents=True)
    status = (STATUS.format(name=name, version=version) for name, version in packages.items())
    (info / "status").write_text("".join(status))
    (folder / "root/bin").mkdir()
    (folder / "root/bin/tool").write_bytes(b"x" * 10_000)
    (folder / "log").write_text("made\n")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "cache")


@pytest.fixture
def adopt(store: ImageStore) -> Callable[..., Image]:
    """Put a fake image made by a recipe with these packages into the store."""

    def make(name: str = "debian-12", into: ImageStore | None = None, **packages: str) -> Image:
        recipe = recipe_for(name)
        chosen = into or store
        with chosen.aside() as aside:
            fake_root(aside, **(packages or {"base": "1"}))
            return chosen.adopt(aside, recipe, name=name, seconds=1.0)

    return make


def recipe_for(name: str) -> Recipe:
    return Recipe(distro=name, suite="suite", arch="x86_64", packages=("python3",))
