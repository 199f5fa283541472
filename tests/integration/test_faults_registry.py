"""Whole runs whose image comes from a registry that fails, before its manifests or before its layers.

For each fault and engine: nothing is proven, the run ends within a limit with one clear message, no
container and no image is left, and the next run without the fault works.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_grounds import engine_grounds
from failing_servers import FAULTS, Scene, a_place
from faulty_server import faulty_server
from loopback_registry import registry_running
from pushed_images import push_root
from wheels import build_wheel

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.engines.container.engine import reference_of
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.verdict import Cause

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="fault")]

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


@pytest.fixture(scope="module", params=["docker", "bubblewrap"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def registry(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, str]]:
    """An engine, and behind the server a registry with its image, which is not kept; its address."""
    place = a_place(tmp_path_factory.mktemp("registry"))
    build_wheel(place.project, {"good.py": "x = 1\n"}, name="good")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        real = stack.enter_context(registry_running(folder))
        server = stack.enter_context(faulty_server(f"http://{real}"))
        grounds = stack.enter_context(engine_grounds(engine))
        scene = Scene(
            place=place,
            grounds=grounds,
            server=server,
            cause=Cause.IMAGE,
            arguments=("--manylinux-distros=acme-1", "--manylinux-image-source=registry", "."),
        )
        yield scene, real


def push(scene: Scene, repository: str, tag: str) -> None:
    """Push the root under a name of its own: Docker keeps the manifests that it has seen for ever."""
    distro = load_catalogue().get("debian-12")
    image = ArchiveImages(ImageStore(scene.place.cache)).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    if scene.grounds.name == "docker":
        push_by_docker(image, repository, tag)
        return
    archive = scene.place.folder / "root.tar"
    if not archive.exists():
        with archive.open("wb") as stream:
            pack_root(Path(str(image.root)), stream)
    push_root(f"{repository}:{tag}", archive, environment=[f"FAULT={tag}"])


def push_by_docker(image: Image, repository: str, tag: str) -> None:
    """The same, by the daemon, which then has the image."""
    client = connect_docker()
    container = client.api.create_container(reference_of(client, image), command=["true"])["Id"]
    client.api.commit(container, repository=repository, tag=tag, conf={"Labels": {"fault": tag}})
    client.api.remove_container(container)
    events = list(client.api.push(repository, tag, stream=True, decode=True))
    assert not [event for event in events if "error" in event], events[-1]
    client.close()


def forget_images(scene: Scene) -> None:
    """Leave the engine without any of registries."""
    if scene.grounds.name == "docker":
        client = connect_docker()
        client.images.prune(filters={"dangling": False})
        assert client.api.images() == []
        client.close()
    scene.forget("layers", "registry-tags.json")
    store = ImageStore(scene.place.cache)
    for stored in store.images():
        if stored.record.origin == "registry":
            assert store.remove(stored)


@pytest.mark.parametrize("part", ["manifests", "blobs"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_registry_fails(registry: tuple[Scene, str], fault: str, part: str) -> None:
    scene, real = registry
    tag = f"{part}-{fault.replace(' ', '-')}"
    push(scene, f"{real}/acme", tag)
    forget_images(scene)
    image = f"{scene.server.address}/acme:{tag}"
    (scene.place.project / "pyproject.toml").write_text(ROW.format(image=image))
    scene.forget("observations", "venvs")
    try:
        scene.fail(FAULTS[fault], f"/{part}/")
    finally:
        forget_images(scene)
