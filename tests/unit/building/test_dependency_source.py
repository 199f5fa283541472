"""The source of a dependency, from pip's folders and from indexes on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pytest_manylinux import indexes
from pytest_manylinux.building.dependency_source import fetch_source
from pytest_manylinux.errors import PackageIndexError

NAME = "demo_core-1.0.tar.gz"
CONTENT = b"the bytes of a source"


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """A server on loopback with these paths; any other answers 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """pip without any setting of this machine's; a test adds its own."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    indexes.forget_host_index()
    yield monkeypatch
    indexes.forget_host_index()


def page(*links: str) -> bytes:
    return "".join(f'<a href="{link}">x</a>' for link in links).encode()


def stated(content: bytes) -> str:
    return f"#sha256={hashlib.sha256(content).hexdigest()}"


def test_only_what_the_index_lists_under_that_name_is_fetched(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {
        "/simple/demo-core/": page(f"/f/{NAME}{stated(CONTENT)}", "/f/demo_core-2.0.tar.gz"),
        f"/f/{NAME}": CONTENT,
        "/f/demo_core-3.0.tar.gz": CONTENT,  # there, and not listed
    }
    with serving(files) as address:
        settings.setenv("PIP_INDEX_URL", f"{address}/simple")
        found = fetch_source(NAME, tmp_path)
        assert (found.name, found.read_bytes()) == (NAME, CONTENT)
        with pytest.raises(PackageIndexError, match=r"no index has demo_core-3\.0"):
            fetch_source("demo_core-3.0.tar.gz", tmp_path)
    assert fetch_source(NAME, tmp_path) == found, "it is kept"


def test_a_second_index_is_asked_too(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"/more/demo-core/": page(f"/f/{NAME}"), f"/f/{NAME}": CONTENT}
    with serving(files) as address:
        settings.setenv("PIP_INDEX_URL", f"{address}/simple")
        settings.setenv("PIP_EXTRA_INDEX_URL", f"{address}/more")
        assert fetch_source(NAME, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("sent", [b"other bytes", None], ids=["other bytes", "gone"])
def test_what_does_not_come_as_it_is_listed_is_not_kept(
    settings: pytest.MonkeyPatch, tmp_path: Path, sent: bytes | None
) -> None:
    files = {"/simple/demo-core/": page(f"/f/{NAME}{stated(CONTENT)}")}
    files |= {} if sent is None else {f"/f/{NAME}": sent}
    with serving(files) as address:
        settings.setenv("PIP_INDEX_URL", f"{address}/simple")
        with pytest.raises(PackageIndexError, match=NAME):
            fetch_source(NAME, tmp_path)
        files[f"/f/{NAME}"] = CONTENT
        assert fetch_source(NAME, tmp_path).read_bytes() == CONTENT, "asked for again"


def test_a_folder_that_pip_is_told_of_comes_first(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / NAME).write_bytes(CONTENT)
    settings.setenv("PIP_NO_INDEX", "1")
    settings.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    assert fetch_source(NAME, tmp_path / "cache").read_bytes() == CONTENT
