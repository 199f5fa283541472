"""Images without Python: pulled, provisioned by their own package managers, and proven on.

By docker, by bubblewrap as root, and by bubblewrap as an ordinary user with subordinate ids and
without: each from an empty cache. Only with `-m managers`; wants root, `dockerd`, `containerd` and
`docker-registry`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import ordinary_user
import pytest
from bare_images import IMAGES, publish
from engine_daemons import engine_running
from loopback_registry import registry_running
from whole_runs import Place, WholeRun, folder_of_wheels, look

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Outcome, Verdict

pytestmark = [pytest.mark.integration, pytest.mark.managers]

SUBORDINATE, ONE = "subordinate", "one"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry with the bare images; `digests` are those that it gave them, by distro."""

    address: str
    digests: dict[str, str]
    folder: Path


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder over http on loopback; gives the address."""
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user starts no Docker daemon, and becomes nobody else")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bare-")))
        folder.chmod(0o755)
        for name in ("served", "registry"):
            (folder / name).mkdir()
        packages = stack.enter_context(served(folder / "served"))
        address = stack.enter_context(registry_running(folder / "registry"))
        digests = {
            image.distro: publish(image, address, packages, folder / "served") for image in IMAGES
        }
        yield Registry(address=address, digests=digests, folder=folder)


def place_of(registry: Registry, name: str, *, user: bool) -> Place:
    """Folders of a run's own, a user's if it is one's; the project's table has the rows."""
    place = Place(folder=registry.folder / name).make()
    folder_of_wheels(place.project / "dist")
    (place.project / "pytest.ini").write_text("[pytest]\n")
    (place.project / "pyproject.toml").write_text("".join(image.row for image in IMAGES))
    (place.folder / "home").mkdir()
    if user:
        for path in (place.folder, *place.folder.rglob("*")):
            os.chown(path, ordinary_user.USER, ordinary_user.USER)
    return place


def verdicts(registry: Registry, engine: str, ids: str = "") -> list[Verdict]:
    """The trials of a whole run from an empty cache by one engine, as root or as an ordinary user."""
    place = place_of(registry, f"{engine}-{ids or 'root'}", user=bool(ids))
    distros = ",".join(image.distro for image in IMAGES)
    run = WholeRun(
        place,
        [
            *(f"--manylinux-engine={engine}", f"--manylinux-distros={distros}"),
            *("--manylinux-image-source=registry", "-rA", "dist"),
            f"--manylinux-registry-mirror=docker.io={registry.address}",
        ],
        {"HOME": str(place.folder / "home"), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        wrapped_by=ordinary_user.command(ids) if ids else (),
    )
    code = run.end(within=1800)
    run.must_say_no_tracebacks()
    assert code == ExitCode.NOT_PORTABLE, run.words
    found = run.trials()
    shutil.rmtree(place.cache)
    return found


@pytest.fixture(scope="module")
def by_docker(registry: Registry) -> list[Verdict]:
    with engine_running("docker"):
        return verdicts(registry, "docker")


def test_docker_proves_on_each_of_them(registry: Registry, by_docker: list[Verdict]) -> None:
    """Each with the registry's digest, one wheel of three being portable."""
    assert len(by_docker) == 3 * len(IMAGES)
    outcomes = [verdict.outcome for verdict in by_docker]
    assert outcomes.count(Outcome.PORTABLE) == len(IMAGES)
    assert outcomes.count(Outcome.NOT_PORTABLE) == 2 * len(IMAGES)
    for verdict in by_docker:
        seen = verdict.observation
        assert seen is not None
        (image,) = (one for one in IMAGES if verdict.subject.startswith(f"{one.distro}-"))
        assert registry.digests[image.distro] in seen.image_name


@pytest.mark.parametrize("ids", ["", SUBORDINATE, ONE], ids=["root", "user", "user with one id"])
def test_bubblewrap_comes_to_the_same(registry: Registry, by_docker: list[Verdict], ids: str) -> None:
    """Item for item: outcome, findings in their words, imports, versions, and the image's digest."""
    wanted = {(one.wheel, one.subject): look(one) for one in by_docker}
    found = verdicts(registry, "bubblewrap", ids)
    assert {one.observation.engine for one in found if one.observation} == {"bubblewrap"}
    assert {(one.wheel, one.subject): look(one) for one in found} == wanted
    assert {one.observation.image_name for one in found if one.observation} == {
        one.observation.image_name for one in by_docker if one.observation
    }
