"""Pulling, pinning and provisioning against a real registry on loopback and a real daemon.

Wants the programs `dockerd`, `containerd` and `docker-registry` (Debian: docker.io, docker-registry).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_daemons import docker_daemon

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.rootpack import pack_root
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.registry import RegistryImages
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose

pytestmark = pytest.mark.integration

DISTRO = load_catalogue([{"id": "debian-13", "image": "debian:13-slim"}]).get("debian-13")
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: "{address}"}}
"""


@dataclass(frozen=True)
class Registry:
    """A registry that holds the root of Debian 13 as `hub/library/debian:13-slim`."""

    address: str
    client: docker.DockerClient
    folder: Path
    first: str

    def push(self, *, note: str) -> str:
        """Push the root under the tag, with a label that makes it another image; its digest."""
        repository = f"{self.address}/hub/library/debian"
        answer = self.client.api.import_image(src=self._archive(), changes=[f"LABEL note={note}"])
        identity = json.loads(answer.strip().splitlines()[-1])["status"]
        self.client.api.tag(identity, repository, "13-slim")
        events = list(self.client.api.push(repository, "13-slim", stream=True, decode=True))
        self.client.api.remove_image(f"{repository}:13-slim", force=True)
        return str(next(event["aux"]["Digest"] for event in events if "aux" in event))

    def _archive(self) -> str:
        path = self.folder / "root.tar"
        if not path.exists():
            image = ArchiveImages(ImageStore()).provide(
                DISTRO, "x86_64", ImagePurpose.TRIAL, interpreter=DISTRO.interpreters[0]
            )
            with path.open("wb") as stream:
                pack_root(Path(str(image.root)), stream)
        return str(path)

    def images(
        self, *, known: dict[str, str] | None = None, pins: dict[str, str] | None = None
    ) -> RegistryImages:
        return RegistryImages(
            api=self.client.api,
            say=print,
            mirrors={"docker.io": f"{self.address}/hub"},
            known=known if known is not None else {},
            pins=pins or {},
        )


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    for program in ("dockerd", "containerd", "docker-registry"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is missing: apt-get install docker.io docker-registry")
    with (
        tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as name,
        docker_daemon(Path(name)) as daemon,
        _serving(Path(name)) as address,
    ):
        client = docker.DockerClient(base_url=daemon, timeout=600)
        bare = Registry(address=address, client=client, folder=Path(name), first="")
        yield Registry(address=address, client=client, folder=Path(name), first=bare.push(note="1"))
        client.close()


def test_a_pull_through_a_mirror_has_the_registrys_digest(registry: Registry) -> None:
    pulled = registry.images().pull("debian:13-slim", "x86_64", title="debian-13")
    assert pulled.digest == registry.first
    assert registry.images().digest_of("debian:13-slim", "x86_64", title="debian-13") == registry.first


def test_headers_are_installed_once_and_no_container_stays(registry: Registry) -> None:
    first = _provide(registry.images(), DISTRO)
    assert _provide(registry.images(), DISTRO) == first
    assert registry.first in first.name
    assert first.digest != first.reference, "known by its packages, not by the time of its making"
    command = ["sh", "-c", "ls /usr/include/python3.13/Python.h"]
    shown = registry.client.containers.run(
        str(first.reference), command, remove=True, network_mode="none"
    )
    assert shown == b"/usr/include/python3.13/Python.h\n"
    assert registry.client.api.containers(all=True) == []


def test_a_tag_that_moves_is_told_and_a_pin_is_kept(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    known: dict[str, str] = {}
    registry.images(known=known).pull("debian:13-slim", "x86_64", title="debian-13")
    moved = registry.push(note="2")
    assert moved != registry.first
    pulled = registry.images(known=known).pull("debian:13-slim", "x86_64", title="debian-13")
    assert pulled.digest == moved
    assert "has moved since the last run" in capsys.readouterr().out
    pinned = registry.images(pins={"debian-13": registry.first})
    assert f"@{registry.first}" in _provide(pinned, DISTRO).name


def test_what_the_registry_does_not_have_is_an_image_error(registry: Registry) -> None:
    with pytest.raises(ImageError, match="could not be pulled"):
        registry.images().pull("debian:nonsense", "x86_64", title="debian-13")


def test_a_registry_that_is_gone_is_an_image_error(registry: Registry) -> None:
    images = RegistryImages(
        api=registry.client.api, say=print, mirrors={"docker.io": f"127.0.0.1:{_free_port()}/hub"}
    )
    with pytest.raises(ImageError) as caught:
        images.pull("debian:13-slim", "x86_64", title="debian-13")
    assert "refused" in caught.value.why


def _provide(images: RegistryImages, distro: Distro) -> Image:
    interpreter = distro.interpreters[0]
    return images.provide(distro, "x86_64", ImagePurpose.BUILD, interpreter=interpreter)


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    address = f"127.0.0.1:{_free_port()}"
    (folder / "registry.yml").write_text(CONFIG.format(folder=folder, address=address))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "registry.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    for _ in range(300):
        assert process.poll() is None, "docker-registry does not start"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    pytest.fail("docker-registry does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
