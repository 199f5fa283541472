from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.container.engine import imported_name
from pytest_manylinux.images.references import parse_reference
from pytest_manylinux.model.distro import Image, ImageSource

DIGEST = "sha256:" + "a" * 64
LONGEST = 255  # characters of a name and its registry (github.com/distribution/reference)


def image(name: str, *, arch: str = "x86_64", digest: str = DIGEST) -> Image:
    return Image(digest=digest, name=name, source=ImageSource.LOCAL, arch=arch, root="/")


@given(st.text(max_size=400))
@pytest.mark.parametrize("form", ["{}", "acme-1 ({})", "acme-{} (oci:/a@sha256:b)"])
def test_every_root_has_a_name_that_engines_take(form: str, text: str) -> None:
    name = imported_name(image(form.format(text)))
    assert len(parse_reference(name).repository) <= LONGEST


def test_a_list_of_images_has_one_for_each_architecture() -> None:
    names = {imported_name(image("acme (oci:/a)", arch=arch)) for arch in ("x86_64", "aarch64")}
    assert len(names) == 2
    assert all(DIGEST.partition(":")[2] in name for name in names)


def test_the_first_word_is_there_for_people() -> None:
    name = imported_name(image("debian-12 (dir:/images/-_odd)"))
    assert name.startswith("localhost/pytest-manylinux/debian-12-x86-64:")
