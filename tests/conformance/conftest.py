"""Every test here runs on every engine; an engine that this machine lacks is an error, not a skip.

Leave an engine out with `-k "not podman"`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_daemons import engine_running

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine, Sandbox, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import Image, ImagePurpose


@pytest.fixture(scope="session")
def image() -> Image:
    """A small Debian with Python, from the same store that runs use: made once, then kept."""
    distro = load_catalogue().get("debian-12")
    images = ArchiveImages(ImageStore())
    return images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0])


@pytest.fixture(scope="session", params=["bubblewrap", "docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine_running(request.param):
        engine = select_engine(request.param)
        yield engine
        engine.close()


@pytest.fixture
def spec(image: Image) -> SandboxSpec:
    return SandboxSpec(image=image, label="conformance")


@pytest.fixture
def sandbox(engine: Engine, spec: SandboxSpec) -> Iterator[Sandbox]:
    with engine.open(spec) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def shared(engine: Engine, image: Image) -> Iterator[Sandbox]:
    """One sandbox for the tests that leave nothing behind in it."""
    with engine.open(SandboxSpec(image=image, label="conformance")) as sandbox:
        yield sandbox
