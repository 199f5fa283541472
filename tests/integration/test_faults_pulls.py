"""Pulls from a registry that fails: told, not joined by the next pull, and nothing of it is kept."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_grounds import engine_grounds
from faulty_server import Fault, FaultyServer, faulty_server
from loopback_registry import registry_running

from pytest_manylinux.engines.container.connection import connect_docker, connect_podman
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import image_progress, registry
from pytest_manylinux.images.official_images import Pulled
from pytest_manylinux.images.registry import RegistryImages

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="fault")]

FAULTS = {fault.value: fault for fault in Fault if fault is not Fault.NONE}
# Docker takes loopback for safe by itself.
INSECURE = """
[[registry]]
location = "{address}"
insecure = true
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A registry (`real`) behind the server, and an engine that has no image of it."""

    engine: str
    client: docker.DockerClient
    server: FaultyServer
    real: str

    def fresh(self, tag: str) -> str:
        """The name of an image of which the engine knows nothing: Docker keeps manifests for ever."""
        push(self.client, f"{self.real}/acme", tag)
        return f"{self.server.address}/acme:{tag}"

    def pull(self, name: str) -> Pulled:
        images = RegistryImages(api=self.client.api, say=lambda _: None, engine=self.engine)
        return images.pull(name, "x86_64", title="acme")


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def scene(engine: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        real = stack.enter_context(registry_running(folder))
        server = stack.enter_context(faulty_server(f"http://{real}"))
        insecure = [INSECURE.format(address=address) for address in (real, server.address)]
        (folder / "registries.conf").write_text("".join(insecure))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("CONTAINERS_REGISTRIES_CONF", str(folder / "registries.conf"))
        patch.setattr(image_progress, "TRICKLE", 15.0)
        patch.setattr(registry, "_SILENCE", 25.0)
        stack.enter_context(engine_grounds(engine))
        if engine == "docker":
            client = connect_docker()
        else:
            client, service = connect_podman()
            if service is not None:
                stack.callback(service.close)
        stack.callback(client.close)
        yield Scene(engine=engine, client=client, server=server, real=real)


def push(client: docker.DockerClient, repository: str, tag: str) -> None:
    """Push an image of one file that cannot be packed any smaller, and forget it."""
    packed, content = io.BytesIO(), os.urandom(400_000)
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    answer = client.api.import_image_from_data(packed.getvalue(), repository="localhost/acme", tag=tag)
    made = json.loads(answer.strip().splitlines()[-1])["status"]
    client.api.tag(made, repository, tag)
    events = list(client.api.push(repository, tag, stream=True, decode=True))
    assert not [event for event in events if "error" in event], events[-1]
    for image in client.api.images(all=True):
        client.api.remove_image(image["Id"], force=True)


@pytest.mark.parametrize("part", ["manifests", "blobs"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_fails(scene: Scene, fault: str, part: str) -> None:
    name = scene.fresh(f"{part}-{fault.replace(' ', '-')}")
    scene.server.asked.clear()
    scene.server.fault, scene.server.pattern = FAULTS[fault], f"/{part}/"
    try:
        with pytest.raises(ImageError, match="could not be pulled") as caught:
            scene.pull(name)
    finally:
        scene.server.fault = Fault.NONE
    assert any(scene.server.matches(path) for path in scene.server.asked)
    assert caught.value.why
    assert caught.value.remedy
    assert scene.client.api.images(all=True) == []
    assert scene.pull(name).digest.startswith("sha256:")
    scene.client.api.remove_image(name, force=True)
