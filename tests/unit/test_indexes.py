from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux import indexes
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import redact
from pytest_manylinux.indexes import MOUNTS, host_index, index_access, parse_pip_config


def test_command_section_beats_global_and_environment_beats_both() -> None:
    text = """
        :env:.timeout='3'
        global.index-url='https://a.example/simple'
        global.timeout='1'
        install.index-url='https://b.example/simple'
        install.timeout='2'
        wheel.index-url='https://c.example/simple'
    """
    assert parse_pip_config(text) == {"timeout": "3", "index-url": "https://b.example/simple"}


def test_values_over_several_lines_are_several_places() -> None:
    settings = parse_pip_config(r"global.find-links='\nhttps://a.example/x\nhttps://b.example/y'")
    access = index_access(settings, {}, home=Path("/nonexistent"))
    assert access.environment["PIP_FIND_LINKS"] == "https://a.example/x https://b.example/y"


def test_local_folders_are_mounted_and_absent_ones_left_out(tmp_path: Path) -> None:
    links = tmp_path / "with space"
    links.mkdir()
    access = index_access(
        {"find-links": f"file://{quote(str(links))} {tmp_path}/absent"}, {}, home=tmp_path
    )
    assert access.environment["PIP_FIND_LINKS"] == f"file://{MOUNTS}/0"
    assert access.mounts[0] == (links.resolve(), MOUNTS / "0")


def test_an_index_brings_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mirror/simple").mkdir(parents=True)
    access = index_access({"index-url": f"file://{tmp_path}/mirror/simple"}, {}, home=tmp_path)
    assert access.environment["PIP_INDEX_URL"] == f"file://{MOUNTS}/0/simple"
    assert access.mounts[0] == (tmp_path / "mirror", MOUNTS / "0")


def test_the_home_folder_is_never_mounted_for_an_index_in_it(tmp_path: Path) -> None:
    (tmp_path / "simple").mkdir()
    access = index_access({"index-url": f"file://{tmp_path}/simple"}, {}, home=tmp_path)
    assert access.mounts[0] == (tmp_path / "simple", MOUNTS / "0")


def test_the_bundle_that_pip_trusts_comes_along(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    access = index_access({"cert": str(bundle)}, {"SSL_CERT_FILE": "/elsewhere"}, home=tmp_path)
    assert (bundle, MOUNTS / "0.pem") in access.mounts
    assert access.environment["PIP_CERT"] == access.environment["SSL_CERT_FILE"] == f"{MOUNTS}/0.pem"


def test_proxies_are_passed_on_and_other_variables_are_not(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost", "AWS_SECRET": "x"}
    found = index_access({}, environ, home=tmp_path).environment
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["no_proxy"] == "localhost"
    assert "AWS_SECRET" not in found


def test_netrc_credentials_go_into_the_url_and_not_into_words(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine private.example login me password s/cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    settings = {"index-url": "https://private.example:8443/simple"}
    access = index_access(settings, {}, home=tmp_path)
    assert access.environment["PIP_INDEX_URL"] == "https://me:s%2Fcret@private.example:8443/simple"
    assert "cret" not in repr(access)


def test_identity_knows_the_index_but_not_the_password(tmp_path: Path) -> None:
    def identity(url: str) -> str:
        return index_access({"index-url": url}, {}, home=tmp_path).identity

    assert identity("https://u:one@a.example/s") == identity("https://u:two@a.example/s")
    assert identity("https://a.example/s") != identity("https://b.example/s")


@pytest.mark.parametrize("index", ["", "https://me:secret@a.example/simple"])
def test_without_network_only_folders_are_left_and_no_credentials(tmp_path: Path, index: str) -> None:
    links, key = tmp_path / "links", tmp_path / "key.pem"
    links.mkdir()
    key.touch()
    settings = {
        "find-links": f"{links} https://me:secret@b.example/",
        "extra-index-url": "https://me:secret@c.example/simple",
        "client-cert": str(key),
        "cert": str(key),
    }
    environ = {"HTTPS_PROXY": "http://me:secret@proxy:3128"}
    found = index_access(
        {**settings, **({"index-url": index} if index else {})}, environ, home=tmp_path
    )
    assert found.network
    alone = found.offline()
    assert not alone.network
    assert [source for source, _ in alone.mounts] == [links]
    assert alone.environment == {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"file://{alone.mounts[0][1]}"}


def test_without_network_an_index_in_a_folder_is_one_still(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "simple").mkdir(parents=True)
    folders = " ".join(str(tmp_path / name / "simple") for name in ("one", "two"))
    settings = {"index-url": "https://a.example/simple", "extra-index-url": folders}
    alone = index_access(settings, {}, home=tmp_path / "home").offline()
    places = [f"file://{place}/simple" for _, place in alone.mounts]
    assert alone.environment == {"PIP_INDEX_URL": places[0], "PIP_EXTRA_INDEX_URL": places[1]}
    assert index_access({**settings, "no-index": "1"}, {}, home=tmp_path).offline().environment == {
        "PIP_NO_INDEX": "1"
    }


@pytest.mark.parametrize(
    "text",
    [
        "Looking in indexes: https://me:secret@a.example/simple, https://secret@b.example/",
        "git+https://secret:x-oauth@a.example/r.git@main",
        "'http://u:se@secret@proxy:3128'",
    ],
)
def test_redact_known_forms(text: str) -> None:
    assert "secret" not in redact(text)


@given(before=st.text(), user=st.text(min_size=1), word=st.text(), after=st.text())
def test_redact_hides_every_quoted_password(before: str, user: str, word: str, after: str) -> None:
    url = f"https://{quote(user, '')}:{quote(f'<hidden>{word}', '')}@host.example/path"
    assert "%3Chidden" not in redact(f"{before} {url} {after}")


@given(st.text(alphabet=st.characters(exclude_characters="@")))
def test_redact_leaves_text_without_credentials_alone(text: str) -> None:
    assert redact(text) == text


def _stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> Path:
    """A pip that takes its time; gives the file in which it writes a line each time it is asked."""
    marks = folder / "marks"
    program = folder / "pip"
    program.write_text(f"#!/bin/sh\nsleep 0.3\necho asked >> {marks}\n{ending}\n")
    program.chmod(0o755)
    monkeypatch.setattr(indexes, "_pip_commands", lambda: iter([[str(program)]]))
    return marks


def test_pip_is_asked_once_however_many_begin_or_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = "echo \"global.index-url='https://index.example/simple'\""
    marks = _stand_in(tmp_path, monkeypatch, ending)
    indexes.forget_host_index()
    try:
        for _ in range(3):
            indexes.begin_host_index()
        assert host_index().environment["PIP_INDEX_URL"] == "https://index.example/simple"
        indexes.begin_host_index()
        assert marks.read_text() == "asked\n"
    finally:
        indexes.forget_host_index()


def test_what_went_wrong_in_the_background_is_told_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(tmp_path, monkeypatch, "echo no such section >&2; exit 2")
    indexes.forget_host_index()
    try:
        indexes.begin_host_index()
        with pytest.raises(UsageError, match="pip cannot read its own configuration"):
            host_index()
    finally:
        indexes.forget_host_index()
