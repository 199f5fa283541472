from __future__ import annotations

import queue
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from pytest_manylinux.config.merge import Layer, merge
from pytest_manylinux.config.settings import Settings, SourceKind
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.images import run_images
from pytest_manylinux.images.folder_images import FolderImages
from pytest_manylinux.images.registry import RegistryImages
from pytest_manylinux.images.run_images import (
    TAGS,
    RunImages,
    no_registry,
    read_tags,
    uses_registries,
    why_silent,
)
from pytest_manylinux.images.store import ImageStore

DIGEST = "sha256:" + "a" * 64


class Silent(ContainerEngine):
    """A container engine that nobody has asked anything yet."""

    def __init__(self) -> None:
        self.name = "podman"
        self._client = cast("docker.DockerClient", FakeClient())


class FakeClient:
    api = object()


class Bubblewrap:
    name = "bubblewrap"


def settings(**values: object) -> Settings:
    return merge([Layer(SourceKind.FLAG, "flags", values)])


def images(folder: Path, engine: object, **values: Any) -> RunImages:  # noqa: ANN401 - settings
    return RunImages(
        engine=cast("Engine", engine),
        settings=settings(**values),
        store=ImageStore(folder),
        pins={"debian-12": DIGEST},
        say=print,
    )


def test_a_container_engine_pulls_through_its_own_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    engine = Silent()
    made = images(tmp_path, engine, **{"registry-mirror": ["quay.io=mirror.example/quay"]})
    registry = made.registry
    assert isinstance(registry, RegistryImages)
    assert made.sources.registry is registry
    assert registry.api is engine.api
    assert registry.engine == "podman"
    assert registry.mirrors == {"quay.io": "mirror.example/quay"}
    assert registry.pins == {"debian-12": DIGEST}
    assert registry.network.proxies["https_proxy"] == "http://proxy.example"
    assert made.sources.pinned == {"debian-12": DIGEST}


@pytest.mark.parametrize(
    ("engine", "values"),
    [
        (Bubblewrap(), {}),
        (Bubblewrap(), {"image-source": "archive"}),
        (Silent(), {"image-source": "archive"}),
    ],
)
def test_without_registries_there_is_the_archive(
    tmp_path: Path, engine: Engine, values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_images, "_ANSWERS", {"docker.io": "it does not answer"})
    made = images(tmp_path, engine, **values)
    assert made.registry is None
    assert not uses_registries(engine.name, settings(**values))


@pytest.fixture
def answering() -> Iterator[str]:
    """A server on loopback that answers as a registry does which wants a login."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_bubblewrap_takes_images_from_a_registry_that_answers(
    tmp_path: Path, answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    made = images(tmp_path, Bubblewrap(), **{"registry-mirror": [f"{answering}/hub"]})
    assert isinstance(made.registry, FolderImages)
    assert made.registry.pins == {"debian-12": DIGEST}


def test_a_registry_is_asked_once_and_only_where_the_tools_are(
    answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(name: str) -> str:
        asked.append(name)
        return ""

    monkeypatch.setattr(run_images, "why_silent", answer)
    chosen = settings(**{"registry-mirror": [f"{answering}/hub/once"]})
    monkeypatch.setattr(run_images, "_ANSWERS", {})
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "skopeo" else f"/usr/bin/{name}")
    assert "skopeo missing: " in no_registry("bubblewrap", chosen)
    assert asked == []
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert [no_registry("bubblewrap", chosen) for _ in range(3)] == ["", "", ""]
    assert no_registry("docker", chosen) == ""
    assert asked == [answering]


def test_a_registry_that_is_silent_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        name = f"127.0.0.1:{silent.getsockname()[1]}"
        said = f"the registry {name} does not answer: "
        assert why_silent(name, within=0.3) == f"{said}not within 0.3 s"
    assert why_silent(name) == f"{said}Connection refused"


def test_the_question_has_two_seconds_names_included(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever waits has no more, should looking up the name take longer than the question may."""
    asked: list[tuple[str, float]] = []
    waited: list[float] = []

    class Queue(queue.SimpleQueue[str]):
        def get(self, block: bool = True, timeout: float | None = None) -> str:  # noqa: FBT001, FBT002 - as the base class
            waited.append(timeout or 0.0)
            return super().get(block, timeout)

    def ask(name: str, within: float) -> str:
        asked.append((name, within))
        return "no route"

    monkeypatch.setattr(run_images, "_ask", ask)
    monkeypatch.setattr(queue, "SimpleQueue", Queue)
    assert why_silent("registry.example") == "the registry registry.example does not answer: no route"
    assert asked == [("registry.example", 2.0)]
    assert waited == [2.0]


def test_a_registry_on_loopback_is_asked_without_a_proxy(
    answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As skopeo asks it: Go's net/http takes no proxy for loopback."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert why_silent(answering) == ""


def test_what_tags_led_to_is_kept_for_the_next_run(tmp_path: Path) -> None:
    first, second = images(tmp_path, Silent()), images(tmp_path, Silent())
    assert first.registry is not None
    assert second.registry is not None
    first.registry.known["a:1"] = "sha256:1"
    second.registry.known["b:1"] = "sha256:2"
    first.close()
    second.close()
    again = images(tmp_path, Silent())
    assert again.registry is not None
    assert again.registry.known == {"a:1": "sha256:1", "b:1": "sha256:2"}
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == [TAGS]


def test_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / TAGS).write_text("[1")
    assert read_tags(tmp_path / TAGS) == {}
