"""Every test here runs on every engine; an engine that this machine lacks is an error, not a skip.

Leave an engine out with `-k "not podman"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from engine_daemons import engine_running
from wheels import build_wheel

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine, Sandbox, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.trials import pool as warm_trials
from pytest_manylinux.trials import request
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.trial import TrialRequest, run_trial


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


@pytest.fixture(scope="module")
def observe(
    engine: Engine, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, Mapping[str, str], float], Observation]]:
    """A trial as a run makes it, of a wheel with this name, these files and this time limit.

    Raises what a trial does.
    """
    distro = load_catalogue().get("debian-12")
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    folder, warm = tmp_path_factory.mktemp("wheels"), PreloadedPool(engine)
    patch = pytest.MonkeyPatch()
    for module in (request, warm_trials):  # whoever stops the agent is waited for no longer than that
        patch.setattr(module, "GRACE", 1.0)

    def run(name: str, files: Mapping[str, str], timeout: float) -> Observation:
        wheel = open_wheel(build_wheel(folder, files, name=name))
        facts = read_wheel(wheel)
        request = TrialRequest(wheel=wheel, facts=facts, target=target, image=image, timeout=timeout)
        return run_trial(request, engine, warm)

    yield run
    warm.close()
    patch.undo()
