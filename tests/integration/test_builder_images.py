"""Builds inside an image of the manylinux layout, pulled by digest from a real registry with a login.

The image is made by tools/make_builder_image.py; daemon and registry are started here. Wants the
programs `dockerd`, `containerd` and `docker-registry` (Debian: docker.io, docker-registry).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_daemons import docker_daemon
from loopback_registry import log_in, registry_running
from make_builder_image import make_archive, push

from pytest_manylinux.building.manylinux_image import read_layout
from pytest_manylinux.engines.container import dead_image
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import DeadImageError, ExitCode
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import parse_policy

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[2] / "sample_projects" / "portable"
PROJECTS = ("c_extension", "cpp_extension", "vendored_library")
POLICY = parse_policy("manylinux1")


@dataclass(frozen=True)
class Place:
    """A daemon and a registry; `login` is the configuration of a client that is logged in."""

    daemon: str
    registry: str
    login: Path
    folder: Path

    def environment(self, *, login: bool = True) -> dict[str, str]:
        config = self.login if login else self.folder
        return {**os.environ, "DOCKER_HOST": self.daemon, "DOCKER_CONFIG": str(config)}

    def pushed(self, *distros: str) -> str:
        """Make a builder image with the Pythons of distros, and push it: its name with the digest."""
        archive = self.folder / "builder.tar"
        make_archive(archive, distros, POLICY)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
                patch.setenv(name, self.environment()[name])
            name = push(archive, f"{self.registry}/pypa/manylinux1_x86_64:{len(distros)}", POLICY)
        archive.unlink()
        return name


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="builder-", ignore_cleanup_errors=True) as name,
        docker_daemon(Path(name)) as daemon,
        registry_running(Path(name), login=True) as registry,
    ):
        log_in(Path(name) / "login", registry)
        yield Place(daemon=daemon, registry=registry, login=Path(name) / "login", folder=Path(name))


@pytest.fixture(scope="module")
def builder(place: Place) -> str:
    return place.pushed("debian-12")


def run(
    place: Place, here: Path, builder: str, *arguments: str, login: bool = True
) -> subprocess.CompletedProcess[str]:
    """Prove copies of the sample projects in `here`, built in an image."""
    (here / "pytest.ini").write_text("[pytest]\n")
    projects = [argument for argument in arguments if not argument.startswith("-")]
    for project in projects:
        shutil.copytree(SAMPLES / project, here / project)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
    command += ["--manylinux-engine=docker", "--manylinux-image-source=archive"]
    command += [f"--manylinux-builder={builder}", "--junitxml=junit.xml", "--manylinux-fresh"]
    return subprocess.run(
        [*command, "--manylinux-proof=proof.json", *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
        env=place.environment(login=login),
    )


def cases(here: Path) -> dict[str, dict[str, str]]:
    """The properties of each testcase in the JUnit file."""
    return {
        f"{case.get('classname')}::{case.get('name')}": {
            str(p.get("name")): str(p.get("value")) for p in case.iter("property")
        }
        for case in ET.parse(here / "junit.xml").iter("testcase")  # noqa: S314 - ours
    }


def check(here: Path, builder: str, targets: dict[str, str]) -> None:
    """Every wheel was built in that image, and is portable on its target (Python -> distro)."""
    found = cases(here)
    digest = builder.partition("@")[2]
    assert len(found) == len(PROJECTS) * len(targets) * 3
    for project in PROJECTS:
        for python, distro in targets.items():
            build = found[f"{project}::build[{python}-manylinux1_x86_64]"]
            assert build["manylinux.verdict"] == "built"
            assert build["manylinux.image"] == digest
            trial = found[f"{project}::trial[{python}-manylinux1_x86_64-{distro}]"]
            assert trial["manylinux.verdict"] == "portable"
            assert trial["manylinux.builder"] == builder
            assert trial["manylinux.builder.image"] == digest
            assert trial["manylinux.builder.why"] == "set by --manylinux-builder"
            assert trial["manylinux.distro"] == distro
            assert trial["manylinux.image"].startswith("sha256:")
            assert trial["manylinux.image"] != digest
            assert trial["manylinux.engine"] == "docker"
    builds = json.loads((here / "proof.json").read_text())["predicate"]["builds"]
    assert {build["image"] for build in builds} == {digest}
    assert {"auditwheel", "patchelf", "cc", "python", "pip"} <= set(dict(builds[0]["tools"]))
    wheels = sorted(path.name for path in (here / "wheelhouse").iterdir())
    assert len(wheels) == len(PROJECTS) * len(targets)
    assert all(name.endswith("manylinux1_x86_64.manylinux_2_5_x86_64.whl") for name in wheels)


def test_wheels_built_in_a_pulled_image_are_proven(place: Place, builder: str, tmp_path: Path) -> None:
    done = run(place, tmp_path, builder, "--manylinux-distros=debian-12", *PROJECTS)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    check(tmp_path, builder, {"cp311": "debian-12"})
    client = docker.DockerClient(base_url=place.daemon)
    assert client.api.containers(all=True) == []
    client.close()


def test_without_a_login_nothing_is_proven(place: Place, builder: str, tmp_path: Path) -> None:
    elsewhere = builder.replace("/pypa/", "/other/")  # by its digest, what was pulled needs no registry
    done = run(place, tmp_path, elsewhere, "--manylinux-distros=debian-12", PROJECTS[0], login=False)
    assert done.returncode == ExitCode.NOT_PROVEN, done.stdout + done.stderr
    assert "could not be pulled" in done.stdout
    assert "no basic auth credentials" in done.stdout
    assert not (tmp_path / "wheelhouse").exists()


@pytest.mark.samples
def test_four_pythons_on_four_distros(place: Place, tmp_path: Path) -> None:
    targets = {
        "cp39": "debian-11",
        "cp311": "debian-12",
        "cp313": "debian-13",
        "cp314": "debian-testing",
    }
    builder = place.pushed(*targets.values())
    distros = f"--manylinux-distros={','.join(targets.values())}"
    done = run(place, tmp_path, builder, distros, *PROJECTS)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    check(tmp_path, builder, targets)


def crashing_program() -> bytes:
    """The smallest x86_64 program that reads address 0: what a missing vsyscall page does to one."""
    code = bytes.fromhex("31c08a00")  # xor eax, eax; mov al, [rax]
    ident, sizes = b"\x7fELF\x02\x01\x01", (64, 56, 1, 0, 0, 0)
    header = struct.pack("<16sHHIQQQI6H", ident, 2, 62, 1, 0x400078, 64, 0, 0, *sizes)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 124, 124, 0x1000)
    return header + segment + code


@pytest.mark.parametrize("vsyscall", [True, False])
def test_an_image_in_which_nothing_runs_is_explained(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, vsyscall: bool
) -> None:
    client = docker.DockerClient(base_url=place.daemon)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        for name in ("bin/sh", "bin/true"):
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o755, len(crashing_program())
            file.addfile(member, io.BytesIO(crashing_program()))
    answer = client.api.import_image_from_data(archive.getvalue())
    identity = json.loads(answer.strip().splitlines()[-1])["status"]
    image = Image(
        digest=identity, name="crash", source=ImageSource.LOCAL, arch="x86_64", reference=identity
    )
    monkeypatch.setenv("DOCKER_HOST", place.daemon)
    monkeypatch.setattr(dead_image, "has_vsyscall", lambda: vsyscall)
    engine = select_engine("docker")
    try:
        with pytest.raises(DeadImageError, match="image crash runs no command") as caught:
            read_layout(image, engine)
        assert client.api.containers(all=True) == []
    finally:
        engine.close()
        client.close()
    assert "SIGSEGV (exit code 139)" in caught.value.why
    assert ("no vsyscall page" in caught.value.why) is not vsyscall
    assert ("vsyscall=emulate" in caught.value.remedy) is not vsyscall
    assert "or set builder = zig" in caught.value.remedy
