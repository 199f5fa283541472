"""A package index that fails while the dependencies of a trial are resolved.

For each fault: nothing is proven, the run ends within a limit with one clear message, nothing is left,
no cache keeps anything of it, and the next run without the fault works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from engine_grounds import Grounds, engine_grounds
from failing_servers import FAULTS, Scene, a_place
from faulty_server import Fault, faulty_server
from loopback_index import index_running
from wheels import build_wheel
from whole_runs import Place

from pytest_manylinux.model.verdict import Cause

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="fault")]

ENGINES = ("bubblewrap", "docker")


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


@contextmanager
def index_of(place: Place, grounds: Grounds, cause: Cause, limit: str) -> Iterator[Scene]:
    build_wheel(place.folder / "index", {"leaf.py": "x = 1\n"}, name="leaf-of-faults")
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
