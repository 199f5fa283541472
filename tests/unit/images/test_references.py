from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.errors import UsageError
from pytest_manylinux.images.references import parse_mirrors, parse_reference, through_mirror

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(/[a-z][a-z0-9]{0,8})?", fullmatch=True)
TAGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12-slim", "docker.io/library/debian:12-slim"),
        ("opensuse/leap:15.6", "docker.io/opensuse/leap:15.6"),
        ("quay.io/centos/centos:stream9", "quay.io/centos/centos:stream9"),
        ("localhost:5000/debian:12", "localhost:5000/debian:12"),
        ("quay.io/pypa/m@sha256:ab", "quay.io/pypa/m@sha256:ab"),
    ],
)
def test_short_names_are_completed(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@given(NAMES, TAGS)
def test_a_full_name_stays_as_it_is(name: str, tag: str) -> None:
    full = str(parse_reference(f"{name}:{tag}"))
    assert str(parse_reference(full)) == full


def test_only_the_named_registry_goes_through_its_mirror() -> None:
    mirrors = parse_mirrors(["docker.io=mirror.example/hub/", "quay.io=localhost:5000"])
    assert str(through_mirror(parse_reference("debian:12"), mirrors)) == (
        "mirror.example/hub/library/debian:12"
    )
    assert str(through_mirror(parse_reference("quay.io/a/b:1"), mirrors)) == "localhost:5000/a/b:1"
    assert str(through_mirror(parse_reference("ghcr.io/a/b:1"), mirrors)) == "ghcr.io/a/b:1"


def test_a_bare_word_is_the_mirror_of_the_default_registry() -> None:
    assert parse_mirrors(["mirror.example"]) == {"docker.io": "mirror.example"}


@pytest.mark.parametrize("word", ["quay.io=", "=mirror.example", "docker.io=https://m.example"])
def test_a_word_that_names_no_mirror_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError, match="names no mirror"):
        parse_mirrors([word])


@pytest.mark.attack("escape")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "../containers/json",
        "debian:12?x=1",
        "a b",
        "https://h.example/x",
        "x@sha256:../y",
        "X:1",
        "a\nb",
        "a//b",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the name of an image"):
        parse_reference(text)
