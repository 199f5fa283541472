"""A Debian mirror that fails while a root is made from it.

For each fault: nothing is proven, the run ends within a limit with one clear message, nothing is left,
no cache keeps anything of it, and the next run without the fault works.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_grounds import Grounds
from failing_servers import FAULTS, Scene, a_place
from faulty_server import faulty_server
from wheels import build_wheel

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.model.verdict import Cause

pytestmark = [
    pytest.mark.integration,
    pytest.mark.faults,
    pytest.mark.attack("fault", engine="bubblewrap", by="fault"),
]

PARTS = {"lists": "/dists/bookworm/", "package": r"/python3-pip_[^/]*\.deb$"}
# How long apt waits for one answer; it asks four times for each file.
APT = 'Acquire::http::Timeout "5";\n'


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The machine's own mirror behind the server."""
    place = a_place(tmp_path_factory.mktemp("mirror"))
    build_wheel(place.project, {"good.py": "x = 1\n"}, name="good")
    (place.folder / "apt.conf").write_text(APT)
    archive = load_catalogue().get("debian-12").archive
    assert archive is not None
    real = next(word for word in MachineApt().sources(archive)[0].split() if "://" in word)
    with faulty_server(real) as server:
        yield Scene(
            place=place,
            grounds=Grounds(name="bubblewrap"),
            server=server,
            cause=Cause.IMAGE,
            arguments=("--manylinux-distros=debian-12", "."),
            environment={
                "PYTEST_MANYLINUX_MIRROR_DEBIAN": server.url,
                "APT_CONFIG": str(place.folder / "apt.conf"),
            },
        )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_mirror_fails(mirror: Scene, fault: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.forget("images", "recipes", "observations", "apt/*/lists")
    mirror.forget("apt/*/archives/python3-pip_*.deb")
    mirror.fail(FAULTS[fault], PARTS[part])
    monkeypatch.setenv("PYTEST_MANYLINUX_CACHE", str(mirror.place.cache))
    assert main(["cache", "verify"]) == ExitCode.OK
