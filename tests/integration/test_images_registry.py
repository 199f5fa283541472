"""Pulling, pinning and provisioning against a real registry on loopback and a real daemon.

Wants the programs `dockerd`, `containerd` and `docker-registry` (Debian: docker.io, docker-registry).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_daemons import docker_daemon
from loopback_registry import free_port, registry_running
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from saved_images import traces_in

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cli import main
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.errors import ExitCode, ImageError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.lock_file import read_lock
from pytest_manylinux.images.provision import Network
from pytest_manylinux.images.registry import RegistryImages
from pytest_manylinux.indexes import host_certificates, host_proxies
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose

pytestmark = pytest.mark.integration

DISTRO = load_catalogue([{"id": "debian-13", "image": "debian:13-slim"}]).get("debian-13")
SECRET, AUTHORITY = "sesame-of-the-proxy", "authority-of-the-user"


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
        self,
        *,
        known: dict[str, str] | None = None,
        pins: dict[str, str] | None = None,
        network: Network | None = None,
    ) -> RegistryImages:
        return RegistryImages(
            api=self.client.api,
            say=print,
            mirrors={"docker.io": f"{self.address}/hub"},
            known=known if known is not None else {},
            pins=pins or {},
            network=network or Network(),
        )


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with (
        tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as name,
        docker_daemon(Path(name)) as daemon,
        registry_running(Path(name)) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        client = docker.DockerClient(base_url=daemon, timeout=600)
        bare = Registry(address=address, client=client, folder=Path(name), first="")
        patch.setenv("DOCKER_HOST", daemon)  # for the commands
        yield Registry(address=address, client=client, folder=Path(name), first=bare.push(note="1"))
        client.close()


def test_a_pull_through_a_mirror_has_the_registrys_digest(registry: Registry) -> None:
    pulled = registry.images().pull("debian:13-slim", "x86_64", title="debian-13")
    assert pulled.digest == registry.first
    assert registry.images().digest_of("debian:13-slim", "x86_64", title="debian-13") == registry.first


def test_headers_are_installed_once_and_nothing_of_the_user_stays(
    registry: Registry, tmp_path: Path
) -> None:
    """No container, and neither proxies nor certificates: in no layer, no history, no settings."""
    bundle = tmp_path / "ca.pem"
    certificates = Path(host_certificates() or DEFAULT_CA_BUNDLE_PATH).read_text()
    bundle.write_text(f"# {AUTHORITY}\n{certificates}")
    proxies = {**host_proxies(), "ftp_proxy": f"http://someone:{SECRET}@127.0.0.1:9"}
    network = Network(proxies=proxies, ca_bundle=bundle)
    first = _provide(registry.images(network=network), DISTRO)
    assert _provide(registry.images(), DISTRO) == first
    assert registry.first in first.name
    assert first.digest != first.reference, "known by its packages, not by the time of its making"
    header = "usr/include/python3.13/Python.h"
    assert traces_in(registry.client, str(first.reference), [SECRET, AUTHORITY, header]) == {header}
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


def test_the_commands_pin_and_check_go_through_the_mirror_of_the_settings(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = '[[tool.pytest-manylinux.distro]]\nid = "debian-13"\nglibc = "2.40"\n'
    mirror = f'[tool.pytest-manylinux]\nregistry-mirror = ["docker.io={registry.address}/hub"]\n'
    (tmp_path / "pyproject.toml").write_text(mirror + row)
    monkeypatch.chdir(tmp_path)
    assert main(["catalogue", "pin", "debian-13"]) == ExitCode.OK
    lock = read_lock(tmp_path / "manylinux-lock.json")
    assert lock is not None
    assert lock.distros["debian-13"].image == "debian:13-slim"
    here = registry.images().digest_of("debian:13-slim", "x86_64", title="debian-13")
    assert lock.pins == {"debian-13": here}
    capsys.readouterr()
    words = ["catalogue", "check", "debian-13", "--engine", "docker", "--json"]
    assert main(words) == ExitCode.NOT_PORTABLE
    told = json.loads(
        capsys.readouterr().out
    )  # one row for each of the distro's roots: PyPy has its own
    assert [row["distro"] for row in told] == ["debian-13"] * len(told) != []
    assert all(row["drift"] == [["glibc", "2.40", "2.41"]] for row in told), told
    assert registry.client.api.containers(all=True) == []


def test_what_the_registry_does_not_have_is_an_image_error(registry: Registry) -> None:
    with pytest.raises(ImageError, match="could not be pulled"):
        registry.images().pull("debian:nonsense", "x86_64", title="debian-13")


def test_a_registry_that_is_gone_is_an_image_error(registry: Registry) -> None:
    images = RegistryImages(
        api=registry.client.api, say=print, mirrors={"docker.io": f"127.0.0.1:{free_port()}/hub"}
    )
    with pytest.raises(ImageError) as caught:
        images.pull("debian:13-slim", "x86_64", title="debian-13")
    assert "refused" in caught.value.why


def _provide(images: RegistryImages, distro: Distro) -> Image:
    interpreter = distro.interpreters[0]
    return images.provide(distro, "x86_64", ImagePurpose.BUILD, interpreter=interpreter)
