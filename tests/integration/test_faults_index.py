"""A package index that fails while dependencies of a trial, or requirements of a build, are resolved.

For each fault: nothing is proven, the run ends within a limit with one clear message, nothing is left,
no cache keeps anything of it, and the next run without the fault works.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_grounds import Grounds, engine_grounds
from failing_servers import FAULTS, Scene, a_place
from faulty_server import Fault, faulty_server
from loopback_index import index_running
from wheels import build_wheel
from whole_runs import Place

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="fault")]

SAMPLE = Path(__file__).parents[2] / "sample_projects/portable/abi3_extension"
ENGINES = ("bubblewrap", "docker", "podman")


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Grounds]:
    with engine_grounds(request.param) as grounds:
        yield grounds


@pytest.fixture(scope="module")
def index(engine: Grounds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A wheel with a dependency, which only an index behind the server has."""
    place = a_place(tmp_path_factory.mktemp("index"))
    build_wheel(place.project, {"good.py": "import leaf\n"}, name="good", requires=["leaf-of-faults"])
    with index_of(place, engine, Cause.DEPENDENCY, "--manylinux-trial-timeout=30") as scene:
        yield scene


@pytest.fixture(scope="module")
def requirements(engine: Grounds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A project with a build requirement that only an index behind the server has."""
    place = a_place(tmp_path_factory.mktemp("requirements"))
    (place.project / "pytest.ini").unlink()
    shutil.copytree(SAMPLE, place.project, dirs_exist_ok=True)
    settings = (place.project / "pyproject.toml").read_text()
    assert "requires = [" in settings
    (place.project / "pyproject.toml").write_text(
        settings.replace("requires = [", 'requires = ["leaf-of-faults", ', 1)
    )
    with index_of(place, engine, Cause.BUILD, "--manylinux-build-timeout=120") as scene:
        run = scene.run("whole")  # which fetches the compiler and the tools from wherever they are
        assert run.end() == ExitCode.OK, run.words
        yield scene


@contextmanager
def index_of(place: Place, grounds: Grounds, cause: Cause, limit: str) -> Iterator[Scene]:
    noise = os.urandom(2000).hex()  # of a size that takes minutes to come slowly
    build_wheel(place.folder / "index", {"leaf.py": f"x = '{noise}'\n"}, name="leaf-of-faults")
    with index_running(place.folder / "index") as real, faulty_server(real.url) as server:
        yield Scene(
            place=place,
            grounds=grounds,
            server=server,
            cause=cause,
            arguments=(
                "--manylinux-distros=debian-12",
                "--manylinux-image-source=archive",
                limit,
                ".",
            ),
            environment={
                "PIP_INDEX_URL": f"{server.url}/simple/",
                "PIP_DEFAULT_TIMEOUT": "5",
                "PIP_RETRIES": "2",
            },
        )


# Damage to a page in which files are listed may do nothing; files are known by their digests.
PARTS = [
    (fault, part)
    for fault in FAULTS
    for part in ("simple", "packages")
    if (fault, part) != (Fault.DAMAGED.value, "simple")
]


@pytest.mark.parametrize("engine", ENGINES, indirect=True, scope="module")
@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_an_index_fails(index: Scene, fault: str, part: str) -> None:
    index.forget("dependencies", "observations")
    index.fail(FAULTS[fault], f"/{part}/leaf")


# A page is small, and comes within a build's time, however slowly.
BUILD_PARTS = [(fault, part) for fault, part in PARTS if (fault, part) != (Fault.SLOW.value, "simple")]


@pytest.mark.parametrize("engine", ENGINES, indirect=True, scope="module")
@pytest.mark.parametrize(("fault", "part"), BUILD_PARTS)
def test_an_index_fails_a_build(requirements: Scene, fault: str, part: str) -> None:
    requirements.forget("build/wheels", "build/projects", "build/environments", "observations")
    shutil.rmtree(requirements.place.out / "wheelhouse", ignore_errors=True)
    requirements.fail(FAULTS[fault], f"/{part}/leaf")
