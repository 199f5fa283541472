from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import UsageError


def test_ids_and_aliases_are_unambiguous() -> None:
    catalogue = load_catalogue()
    words = [word for d in catalogue.distros for word in (d.id, *d.aliases)]
    assert len(words) == len(set(words))
    assert not set(words) & set(catalogue.group_names)


def test_every_packaged_row_is_usable() -> None:
    for distro in load_catalogue().distros:
        assert distro.interpreters, distro.id
        assert distro.image or distro.archive, distro.id
        assert distro.source, distro.id
        assert distro.rolling or distro.end_of_life or distro.source, distro.id
        assert distro.libc.is_musl() or dict(distro.symbol_maxima)["GLIBC"], distro.id


def test_an_override_replaces_single_keys() -> None:
    catalogue = load_catalogue([{"id": "debian-12", "image": "mirror.example/debian:12"}])
    distro = catalogue.get("debian-12")
    assert distro.image == "mirror.example/debian:12"
    assert distro.glibc == load_catalogue().get("debian-12").glibc


def test_a_new_row_may_be_like_another() -> None:
    row = {"id": "acme-4", "like": "debian-12", "title": "Acme 4", "image": "acme:4"}
    catalogue = load_catalogue([row])
    distro = catalogue.get("acme-4")
    assert distro.interpreters == catalogue.get("debian-12").interpreters
    assert distro.aliases == ()
    assert catalogue.get("bookworm").id == "debian-12"


def test_like_wants_a_row_that_exists() -> None:
    with pytest.raises(UsageError, match="debian-99"):
        load_catalogue([{"id": "acme-4", "like": "debian-99"}])


def test_a_row_wants_an_id() -> None:
    with pytest.raises(UsageError, match=r"own\.toml: a row has no id"):
        load_catalogue([{"title": "nameless"}], where="own.toml")


OWN = """
[defaults]
family = "acme"
package-manager = "apt"
architectures = ["x86_64"]
interpreters = [{ version = "3.11", packages = ["python3"] }]

[[distro]]
id = "acme-1"
release = "1"
glibc = "2.31"

[[distro]]
id = "debian-12"
image = "mirror.example/debian:12"
"""


def test_rows_of_a_file_are_laid_under_those_of_the_table(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    catalogue = load_catalogue([{"id": "acme-1", "glibc": "2.36"}], file=file)
    assert catalogue.get("acme-1").family == "acme"
    assert catalogue.get("acme-1").glibc == (2, 36)
    assert catalogue.get("bookworm").image == "mirror.example/debian:12"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("[distro]\nid = 1", "no table"),
        ("distro = [1]", "no table"),
        ("[[distros]]\nid = 1", "distros"),
        ("= 1", "Invalid"),
        ('[[distro]]\nid = "acme"', "acme"),
    ],
)
def test_a_file_that_is_no_catalogue_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "own.toml"
    if text:
        file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_catalogue(file=file)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)


def test_the_version_is_a_digest_that_overrides_change() -> None:
    version = load_catalogue().version
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", version)
    assert load_catalogue().version == version
    assert load_catalogue([{"id": "debian-12", "title": "other"}]).version != version
