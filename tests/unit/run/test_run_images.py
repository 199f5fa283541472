from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import docker
import pytest

from pytest_manylinux.config.merge import Layer, merge
from pytest_manylinux.config.settings import Settings, SourceKind
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.images.run_images import TAGS, RunImages, read_tags, uses_registries
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
    assert registry is not None
    assert made.sources.registry is registry
    assert registry.api is engine.api
    assert registry.engine == "podman"
    assert registry.mirrors == {"quay.io": "mirror.example/quay"}
    assert registry.pins == {"debian-12": DIGEST}
    assert registry.network.proxies["https_proxy"] == "http://proxy.example"
    assert made.sources.pinned == {"debian-12": DIGEST}


@pytest.mark.parametrize(
    ("engine", "values"), [(Bubblewrap(), {}), (Silent(), {"image-source": "archive"})]
)
def test_without_registries_there_is_the_archive(
    tmp_path: Path, engine: Engine, values: dict[str, object]
) -> None:
    made = images(tmp_path, engine, **values)
    assert made.registry is None
    assert not uses_registries(engine.name, settings(**values))


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
