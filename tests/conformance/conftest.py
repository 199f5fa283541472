"""Every test here runs on every engine; an engine that this machine lacks is an error, not a skip.

Leave an engine out with `-k "not podman"`. With `-m emulated` some run in roots of other architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from engine_daemons import engine_running
from engine_names import NATIVE
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


@pytest.fixture(scope="session", params=NATIVE)
def where(request: pytest.FixtureRequest) -> str:
    """The name of an engine; with `-` and an architecture, if that is not this machine's."""
    return str(request.param)


@pytest.fixture(scope="session")
def arch(where: str) -> str:
    return where.partition("-")[2] or "x86_64"


@pytest.fixture(scope="session")
def image(arch: str) -> Image:
    """A small Debian with Python, from the same store that runs use: made once, then kept."""
    distro = load_catalogue().get("debian-12")
    images = ArchiveImages(ImageStore())
    return images.provide(distro, arch, ImagePurpose.TRIAL, interpreter=distro.interpreters[0])


@pytest.fixture(scope="session")
def engine(where: str) -> Iterator[Engine]:
    name = where.partition("-")[0]
    with engine_running(name, shared=True):
        engine = select_engine(name)
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
    engine: Engine, image: Image, arch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, Mapping[str, str], float], Observation]]:
    """A trial as a run makes it, of a wheel with this name, these files and this time limit.

    Raises what a trial does.
    """
    distro = load_catalogue().get("debian-12")
    target = Target(distro=distro, arch=arch, interpreter=distro.interpreters[0])
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
