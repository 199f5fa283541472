from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images.recipe import MUSL, Recipe, _build_of_musl, recipe_of
from pytest_manylinux.model.distro import ImagePurpose

DISTRO = load_catalogue().get("debian-12")


def _recipe(
    purpose: ImagePurpose = ImagePurpose.BUILD, extra: tuple[str, ...] = (), arch: str = "x86_64"
) -> Recipe:
    assert DISTRO.archive is not None
    interpreter = DISTRO.interpreters[0]
    return recipe_of(
        DISTRO, DISTRO.archive, arch, purpose, extra_packages=extra, interpreter=interpreter
    )


def test_a_trial_image_has_no_headers() -> None:
    recipe = _recipe(ImagePurpose.TRIAL)
    assert "python3-pip" in recipe.packages
    assert "python3-dev" not in recipe.packages
    assert recipe.base == ()


def test_a_build_image_grows_from_the_trial_image() -> None:
    recipe = _recipe(extra=("libffi-dev",))
    assert set(recipe.packages) == {"python3-dev", "make", "libatomic1", "libffi-dev"}
    assert recipe.base == _recipe(ImagePurpose.TRIAL).packages


def test_the_order_of_packages_does_not_matter() -> None:
    assert _recipe(extra=("b", "a", "b")).key == _recipe(extra=("a", "b")).key


@pytest.mark.parametrize(
    "other",
    [_recipe(ImagePurpose.TRIAL), _recipe(extra=("libffi-dev",)), _recipe(arch="i686")],
    ids=["purpose", "packages", "architecture"],
)
def test_whatever_changes_the_root_changes_the_key(other: Recipe) -> None:
    assert other.key != _recipe().key


def test_a_new_suite_is_a_new_key() -> None:
    assert DISTRO.archive is not None
    moved = replace(DISTRO.archive, suite="trixie")
    other = recipe_of(
        DISTRO,
        moved,
        "x86_64",
        ImagePurpose.BUILD,
        extra_packages=(),
        interpreter=DISTRO.interpreters[0],
    )
    assert other.key != _recipe().key


def test_a_new_way_of_making_roots_is_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _recipe().key
    monkeypatch.setattr("pytest_manylinux.images.recipe.FORMAT", 0)
    assert _recipe().key != before


def test_a_root_of_musl_is_one_root_for_every_purpose() -> None:
    distro = load_catalogue().get("musl-1.2.5")
    assert distro.archive is not None
    asked = [(ImagePurpose.TRIAL, ()), (ImagePurpose.BUILD, ()), (ImagePurpose.BUILD, ("gcc",))]
    recipes = {
        recipe_of(
            distro,
            distro.archive,
            "x86_64",
            purpose,
            extra_packages=extra,
            interpreter=distro.interpreters[0],
        )
        for purpose, extra in asked
    }
    (recipe,) = recipes
    assert (recipe.variant, recipe.suite, recipe.packages) == (MUSL, "trixie", ("python3.13",))


def test_what_another_script_builds_is_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    distro = load_catalogue().get("musl-1.2.5")

    def key() -> str:
        _build_of_musl.cache_clear()
        assert distro.archive is not None
        return recipe_of(
            distro,
            distro.archive,
            "x86_64",
            ImagePurpose.TRIAL,
            extra_packages=(),
            interpreter=distro.interpreters[0],
        ).key

    before, debian = key(), _recipe(ImagePurpose.TRIAL).key
    monkeypatch.setattr("pytest_manylinux.images.recipe._BUILDING", "finish.*")
    assert key() != before
    assert _recipe(ImagePurpose.TRIAL).key == debian
    _build_of_musl.cache_clear()
