from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.cache.directories import sweep
from pytest_manylinux.cache.paths import CACHE_VARIABLE, cache_root
from pytest_manylinux.errors import StoreError
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image

Adopt = Callable[..., Image]
RECIPE = Recipe(distro="debian-12", suite="suite", arch="x86_64", packages=("python3",))


def test_what_was_adopted_is_found_by_its_recipe(store: ImageStore, adopt: Adopt) -> None:
    image = adopt(base="1", python3="3.11")
    found = ImageStore(store.root).find(RECIPE)
    assert found == image
    assert image.packages == (("base", "1"), ("python3", "3.11"))
    assert image.root is not None
    assert Path(image.root, "bin/tool").is_file()


def test_an_unknown_recipe_is_not_found(store: ImageStore, adopt: Adopt) -> None:
    adopt("debian-13")
    assert store.find(RECIPE) is None


def test_two_recipes_with_the_same_packages_share_one_image(store: ImageStore, adopt: Adopt) -> None:
    assert adopt("debian-12").root == adopt("debian-13").root
    assert len(store.images()) == 1


def test_nothing_unfinished_stays(store: ImageStore, adopt: Adopt) -> None:
    adopt()

    def fail() -> None:
        with store.aside() as folder:
            (folder / "half").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((store.root / "aside").iterdir()) == []


def test_a_root_whose_package_list_changed_is_not_taken(store: ImageStore, adopt: Adopt) -> None:
    image = adopt()
    assert image.root is not None
    (Path(image.root) / "var/lib/dpkg/status").write_text("")
    fresh = ImageStore(store.root)
    assert fresh.find(RECIPE) is None


def test_a_damaged_image_is_replaced(store: ImageStore, adopt: Adopt) -> None:
    image = adopt()
    assert image.root is not None
    (Path(image.root) / "var/lib/dpkg/status").write_text("")
    fresh = ImageStore(store.root)
    assert adopt(into=fresh) == image
    assert fresh.find(RECIPE) == image


def test_an_image_in_use_by_another_process_is_not_removed(store: ImageStore, adopt: Adopt) -> None:
    adopt()
    other = ImageStore(store.root)
    (stored,) = other.images()
    assert not other.remove(stored)
    store.release()
    assert other.remove(stored)
    assert other.find(RECIPE) is None
    assert other.images() == ()


def test_sweeping_takes_dead_owners_folders_and_leaves_live_ones(store: ImageStore) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pytest_manylinux.cache.directories import aside_folder\n"
        "with aside_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').mkdir(); os._exit(9)\n"
    )
    aside = store.root / "aside"
    subprocess.run([sys.executable, "-c", code, str(aside)], check=False)
    with store.aside() as live:
        assert len([entry for entry in aside.iterdir() if entry.is_dir()]) == 2
        assert sweep(aside) == 1
        assert live.is_dir()
        assert [entry for entry in aside.iterdir() if entry.is_dir()] == [live]


def test_the_folder_is_the_users_cache_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path / "elsewhere"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "elsewhere")
    assert cache_root() == tmp_path / "elsewhere"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "pytest-manylinux"


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError) as caught,
        ImageStore(tmp_path / "file" / "cache").making(RECIPE, waiting=print),
    ):
        pass
    assert CACHE_VARIABLE in str(caught.value)
