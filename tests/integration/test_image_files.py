"""Images that are files and folders of this machine, in containers as in bubblewrap's sandboxes.

Wants `dockerd`, `containerd` and `podman` (Debian: docker.io, podman).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from engine_grounds import engine_grounds
from pushed_images import root_layout, skopeo
from whole_runs import Place, WholeRun, folder_of_wheels, look

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose, ImageSource
from pytest_manylinux.model.verdict import Outcome

pytestmark = pytest.mark.integration

KINDS = ("dir", "docker-archive", "oci", "tarball")
ROW = """
[[tool.pytest-manylinux.distro]]
id = "acme-{kind}"
family = "acme"
release = "{kind}"
glibc = "2.36"
package-manager = "apt"
architectures = ["x86_64"]
image = "{kind}:images/Of Acme/-_{kind}"
interpreters = [{{ version = "3.11", packages = [] }}]
"""
Found = dict[tuple[str, str], tuple[object, ...]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project with three wheels and, in a folder of an odd name, one root as four kinds of files."""
    place = Place(folder=tmp_path_factory.mktemp("files")).make()
    folder_of_wheels(place.project / "dist")
    images = place.project / "images/Of Acme"
    images.mkdir(parents=True)
    tarball = images / "-_tarball"
    root_with_python(tarball)
    layout = images / "-_oci"
    layout.mkdir()
    root_layout(layout, tarball)
    for kind in ("dir", "docker-archive"):
        skopeo("copy", f"oci:{layout}", f"{kind}:{images}/-_{kind}")
    (place.project / "pytest.ini").write_text("[pytest]\n")
    (place.project / "pyproject.toml").write_text("".join(ROW.format(kind=kind) for kind in KINDS))
    return place


def root_with_python(path: Path) -> None:
    """A root of Debian 12 with Python in a tar archive, without what is large and not needed."""
    distro = load_catalogue().get("debian-12")
    image = ArchiveImages(ImageStore()).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    large = ("*-linux-gnu/gconv", "*-linux-gnu/perl*", "./usr/share/[a-oq-z]*", "./var/lib/*")
    words = [f"--exclude={name}" for name in large]
    subprocess.run(["tar", "-C", str(image.root), *words, "-cf", str(path), "."], check=True)


def found_by(engine: str, place: Place) -> Found:
    """What a whole run on the four finds, and that it is by this engine."""
    words = (f"--manylinux-engine={engine}", "--manylinux-fresh", "dist")
    distros = "--manylinux-distros=" + ",".join(f"acme-{kind}" for kind in KINDS)
    with engine_grounds(engine):
        run = WholeRun(place, [distros, *words], name=engine)
        assert run.end() == ExitCode.NOT_PORTABLE, run.words
    run.must_say_no_tracebacks()
    seen = [verdict.observation for verdict in run.trials() if verdict.observation is not None]
    assert {one.engine for one in seen} == {engine}
    assert {one.image_source for one in seen} == {ImageSource.LOCAL.value}
    return {(verdict.wheel, verdict.subject): look(verdict) for verdict in run.trials()}


@pytest.fixture(scope="module")
def by_bubblewrap(place: Place) -> Found:
    found = found_by("bubblewrap", place)
    assert len(found) == 3 * len(KINDS)
    outcomes = [outcome for outcome, *_ in found.values()]
    assert outcomes.count(Outcome.PORTABLE) == len(KINDS)
    assert outcomes.count(Outcome.NOT_PORTABLE) == 2 * len(KINDS)
    return found


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_images_of_files_in_containers(place: Place, by_bubblewrap: Found, engine: str) -> None:
    """The same verdicts in the same words, on images of the same digests."""
    assert found_by(engine, place) == by_bubblewrap
