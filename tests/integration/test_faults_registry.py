"""Whole runs whose image comes from a registry that fails, before its manifests or before its layers.

For each fault: nothing is proven, the run ends within a limit with one clear message, no container and
no image is left, and the next run without the fault works.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
from engine_grounds import engine_grounds
from failing_servers import FAULTS, Scene, a_place
from faulty_server import faulty_server
from loopback_registry import registry_running
from wheels import build_wheel
from whole_runs import Place

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.engines.container.import_root import reference_of
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.model.verdict import Cause

pytestmark = [
    pytest.mark.integration,
    pytest.mark.faults,
    pytest.mark.attack("fault", engine="docker", by="fault"),
]

ROW = """
[[tool.pytest-manylinux.distro]]
id = "acme-1"
family = "acme"
release = "1"
glibc = "2.36"
package-manager = "apt"
architectures = ["x86_64"]
image = "{image}"
interpreters = [{{ version = "3.11", packages = [] }}]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, str]]:
    """A daemon, and behind the server a registry with its image, which is not kept; and its address."""
    place = a_place(tmp_path_factory.mktemp("registry"))
    build_wheel(place.project, {"good.py": "x = 1\n"}, name="good")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        real = stack.enter_context(registry_running(folder))
        server = stack.enter_context(faulty_server(f"http://{real}"))
        grounds = stack.enter_context(engine_grounds("docker"))
        scene = Scene(
            place=place,
            grounds=grounds,
            server=server,
            cause=Cause.IMAGE,
            arguments=("--manylinux-distros=acme-1", "--manylinux-image-source=registry", "."),
        )
        yield scene, real


def push(client: docker.DockerClient, place: Place, repository: str, tag: str) -> None:
    """Push the root under a name of its own: Docker keeps the manifests that it has seen for ever."""
    distro = load_catalogue().get("debian-12")
    image = ArchiveImages(ImageStore(place.cache)).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    container = client.api.create_container(reference_of(client, image), command=["true"])["Id"]
    client.api.commit(container, repository=repository, tag=tag, conf={"Labels": {"fault": tag}})
    client.api.remove_container(container)
    events = list(client.api.push(repository, tag, stream=True, decode=True))
    assert not [event for event in events if "error" in event], events[-1]


def forget_images(client: docker.DockerClient) -> None:
    """Leave the daemon without any."""
    client.images.prune(filters={"dangling": False})
    assert client.api.images() == []


@pytest.mark.parametrize("part", ["manifests", "blobs"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_registry_fails(registry: tuple[Scene, str], fault: str, part: str) -> None:
    scene, real = registry
    tag = f"{part}-{fault.replace(' ', '-')}"
    client = connect_docker()
    try:
        push(client, scene.place, f"{real}/acme", tag)
        forget_images(client)
        image = f"{scene.server.address}/acme:{tag}"
        (scene.place.project / "pyproject.toml").write_text(ROW.format(image=image))
        scene.forget("observations", "venvs")
        scene.fail(FAULTS[fault], f"/{part}/")
        forget_images(client)
    finally:
        client.close()
