"""Mirrors that list more than they have, or are out of step with themselves.

What a row's first way lacks leads to the next one, and the run says so. Where nothing is left, that
distro's trials are not proven, with the file's name, and the others are proven.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from docker import APIClient
from docker.errors import NotFound
from emptied_mirror import EmptiedMirror, Lack, emptied_mirror
from engine_daemons import engine_running
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.container.engine import ContainerEngine, reference_of
from pytest_manylinux.engines.container.leftovers import ulimits
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ExitCode, ImageError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.derive import WAY, derive, inspect
from pytest_manylinux.images.provision import provision_plan
from pytest_manylinux.model.distro import ArchiveWay, ImagePurpose
from pytest_manylinux.model.verdict import Cause, Outcome

pytestmark = [pytest.mark.integration, pytest.mark.faults]

SUITE = "/debian-security/dists/bookworm-security"
INDEX = rf"{SUITE}/main/binary-amd64/"
# By what is wrong: with which files, and what the words about it have.
LACKS = {
    "files that are listed and not there": ({"/debian-security/pool/": Lack.GONE}, ".deb: 404"),
    "a file of another size": ({"/debian/pool/.*/libc-bin_": Lack.SHORTER}, "libc-bin_"),
    "a file of another content": ({"/debian/pool/.*/sed_": Lack.CHANGED}, "Hash Sum mismatch"),
    "an index that is gone": ({INDEX: Lack.GONE}, "Packages"),
    "an index out of step with its Release file": ({INDEX: Lack.CHANGED}, "Hash Sum mismatch"),
    "a suite that is gone": ({f"{SUITE}/": Lack.GONE}, "does not have a Release file"),
    "a Release file without a signature": (
        {f"{SUITE}/InRelease": Lack.UNSIGNED, f"{SUITE}/Release": Lack.GONE},
        "Clearsigned file isn't valid",
    ),
    "a Release file that has expired": ({f"{SUITE}/InRelease": Lack.EXPIRED}, "is expired"),
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmptiedMirror]:
    with emptied_mirror(tmp_path_factory.mktemp("mirror") / "gpg") as mirror:
        yield mirror


@pytest.fixture
def machine(mirror: EmptiedMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt.conf by which this machine knows the mirror and no other."""
    path = mirror.machine(tmp_path)
    monkeypatch.setenv("APT_CONFIG", str(path))
    return path


@pytest.mark.usefixtures("machine")
@pytest.mark.attack("fault", engine="bubblewrap", by="lack")
@pytest.mark.parametrize("lack", LACKS)
def test_an_archive_lacks_something(mirror: EmptiedMirror, tmp_path: Path, lack: str) -> None:
    """apt's own words are understood: the way is given up, and the file is named."""
    mirror.lacks, words = LACKS[lack]
    row = load_catalogue().get("debian-12")
    assert row.archive is not None
    row = replace(row, archive=replace(row.archive, ways=(ArchiveWay.ALL_SUITES,)))
    images = ArchiveImages(ImageStore(tmp_path / "cache"), say=print)
    with pytest.raises(ImageError) as caught:
        images.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=row.interpreters[0])
    assert caught.value.why.startswith("all suites: http://127.0.0.1"), caught.value
    assert words in caught.value.why


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder of wheels, and a cache with Debian 12's root and nothing of Debian 11."""
    place = Place(folder=tmp_path / "place").make()
    seed(place.cache)
    build_wheel(place.project, {"good.py": "x = 1\n"}, name="good")
    (place.project / "pytest.ini").write_text("[pytest]\n")
    return place


def _run(place: Place, machine: Path) -> WholeRun:
    return WholeRun(
        place,
        ["--manylinux-engine=bubblewrap", "--manylinux-distros=debian-11,debian-12", "."],
        {"APT_CONFIG": str(machine)},
    )


@pytest.mark.attack("fault", engine="bubblewrap")
def test_a_root_is_made_from_the_plain_suite(
    mirror: EmptiedMirror, place: Place, machine: Path
) -> None:
    mirror.lacks = {"/debian-security/pool/": Lack.GONE}
    run = _run(place, machine)
    assert run.end() == ExitCode.OK, run.words
    assert len(run.passes()) == 2
    assert "going on with the plain suite" in run.words
    (seen,) = [v.observation for v in run.trials() if "debian-11" in v.subject]
    assert seen is not None
    assert "the plain suite" in seen.image_note
    assert ".deb: 404 Not Found" in seen.image_note
    assert leftovers(run) == []


@pytest.mark.attack("fault", engine="bubblewrap")
def test_a_row_that_cannot_be_made_costs_its_own_trials_alone(
    mirror: EmptiedMirror, place: Place, machine: Path
) -> None:
    mirror.lacks = {"/debian-security/pool/": Lack.GONE, "/debian/dists/bullseye/": Lack.GONE}
    run = _run(place, machine)
    assert run.end() == ExitCode.NOT_PROVEN, run.words
    run.must_say_no_tracebacks()
    assert ["debian-12" in subject for subject in run.passes()] == [True]
    (lost,) = [verdict for verdict in run.trials() if "debian-11" in verdict.subject]
    assert (lost.outcome, lost.cause) == (Outcome.NOT_PROVEN, Cause.IMAGE)
    assert "/dists/bullseye/Release: does not have a Release file" in lost.reason
    assert "PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD" in lost.reason
    assert leftovers(run) == []


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[ContainerEngine]:
    with engine_running(request.param):
        engine = select_engine(request.param)
        assert isinstance(engine, ContainerEngine)
        yield engine
        engine.close()


MOVED = """
printf '%s\\n' "deb $1/debian gone main" "deb $1/debian-security gone-security main" \\
  > /etc/apt/sources.list
rm -rf /etc/apt/sources.list.d
"""


def _moved_image(api: APIClient, base: str, url: str) -> str:
    """An image whose sources name suites that its mirror does not have, as those of old releases do."""
    limits = api.create_host_config(ulimits=list(ulimits()))
    command = ["sh", "-e", "-c", MOVED, "sh", url]
    created = api.create_container(base, command, host_config=limits)
    api.start(created["Id"])
    assert api.wait(created["Id"])["StatusCode"] == 0
    repository, tag = "localhost/pytest-manylinux/moved", "base"
    api.commit(created["Id"], repository=repository, tag=tag)
    api.remove_container(created["Id"])
    return f"{repository}:{tag}"


@pytest.mark.attack("fault")
@pytest.mark.parametrize("security", [True, False], ids=["with-security", "without-security"])
def test_an_image_whose_sources_have_moved_is_provisioned_from_old_releases(
    mirror: EmptiedMirror, engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch, *, security: bool
) -> None:
    mirror.lacks = {"/dists/gone": Lack.GONE}
    if not security:
        mirror.lacks["/debian-security/"] = Lack.GONE
    row = load_catalogue().get("debian-12")
    image = ArchiveImages(ImageStore()).provide(
        row, "x86_64", ImagePurpose.TRIAL, interpreter=row.interpreters[0]
    )
    base = _moved_image(engine.api, reference_of(engine._client, image), f"http://{mirror.address}")
    made, said = "localhost/pytest-manylinux/moved:made", list[str]()
    try:
        monkeypatch.delenv("PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD", raising=False)
        plan = provision_plan("apt", ("ed",), archive=row.archive)
        with pytest.raises(ImageError) as caught:
            derive(engine.api, base, plan, made, title="moved", ca_bundle=None, say=said.append)
        assert "PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD" in caught.value.why
        assert "does not have a Release file" in caught.value.why
        monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD", mirror.url("debian"))
        plan = provision_plan("apt", ("ed",), archive=row.archive)
        derive(engine.api, base, plan, made, title="moved", ca_bundle=None, say=said.append)
        way = unquote(inspect(engine.api, made)["Config"]["Labels"][WAY])
        assert way.startswith("the archive of old releases; lacking was http://127.0.0.1")
        assert ("bookworm-security" in way) is not security
        assert any("going on with the archive of old releases" in line for line in said)
        assert any("/ed_" in path for path in mirror.asked)
    finally:
        for name in (made, base):
            with contextlib.suppress(NotFound):
                engine.api.remove_image(name, force=True)
