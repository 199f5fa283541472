"""Builds inside an image of the manylinux layout, pulled by digest from a real registry with a login.

The image is made by tools/make_builder_image.py; daemon and registry are started here. Wants the
programs `dockerd`, `containerd` and `docker-registry` (Debian: docker.io, docker-registry).
"""

from __future__ import annotations

import hashlib
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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_daemons import docker_daemon
from loopback_registry import log_in, registry_running
from make_builder_image import environment, make_archive
from pushed_images import push_root

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
REFUSALS = {"docker": "no basic auth credentials", "bubblewrap": "authentication required"}


@dataclass(frozen=True)
class Place:
    """An engine and a registry; `login` is the configuration of a client that is logged in."""

    engine: str
    daemon: str
    registry: str
    login: Path
    folder: Path

    def environment(self, *, login: bool = True) -> dict[str, str]:
        config = self.login if login else self.folder
        return {**os.environ, "DOCKER_HOST": self.daemon, "DOCKER_CONFIG": str(config)}

    def pushed(self, archive: Path) -> str:
        """Push a builder image: its name with the digest."""
        variables = [f"{name}={value}" for name, value in environment(POLICY).items()]
        name = f"{self.registry}/pypa/manylinux1_x86_64"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REGISTRY_AUTH_FILE", str(self.login / "config.json"))
            digest = push_root(f"{name}:{archive.stem}", archive, environment=variables)
        return f"{name}@{digest}"


@pytest.fixture(scope="module", params=["docker", "bubblewrap"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="builder-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        folder, engine = Path(name), str(request.param)
        daemon = stack.enter_context(docker_daemon(folder)) if engine == "docker" else "unix:///none"
        registry = stack.enter_context(registry_running(folder, login=True))
        log_in(folder / "login", registry)
        yield Place(
            engine=engine, daemon=daemon, registry=registry, login=folder / "login", folder=folder
        )


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    """A builder image with the Python of debian-12, for all engines."""
    with tempfile.TemporaryDirectory(prefix="archive-") as folder:
        path = Path(folder, "one.tar")
        make_archive(path, ["debian-12"], POLICY)
        yield path


@pytest.fixture(scope="module")
def builder(place: Place, archive: Path) -> str:
    return place.pushed(archive)


def run(
    place: Place, here: Path, builder: str, *arguments: str, login: bool = True
) -> subprocess.CompletedProcess[str]:
    """Prove copies of the sample projects in `here`, built in an image."""
    (here / "pytest.ini").write_text("[pytest]\n")
    projects = [argument for argument in arguments if not argument.startswith("-")]
    for project in projects:
        shutil.copytree(SAMPLES / project, here / project)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
    command += [f"--manylinux-engine={place.engine}", "--manylinux-image-source=archive"]
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


def check(here: Path, builder: str, targets: dict[str, str], engine: str) -> None:
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
            assert trial["manylinux.engine"] == engine
    builds = json.loads((here / "proof.json").read_text())["predicate"]["builds"]
    assert {build["image"] for build in builds} == {digest}
    assert {"auditwheel", "patchelf", "cc", "python", "pip"} <= set(dict(builds[0]["tools"]))
    wheels = sorted(path.name for path in (here / "wheelhouse").glob("*.whl"))
    assert len(wheels) == len(PROJECTS) * len(targets)
    assert all(name.endswith("manylinux1_x86_64.manylinux_2_5_x86_64.whl") for name in wheels)


def test_wheels_built_in_a_pulled_image_are_proven(place: Place, builder: str, tmp_path: Path) -> None:
    done = run(place, tmp_path, builder, "--manylinux-distros=debian-12", *PROJECTS)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    check(tmp_path, builder, {"cp311": "debian-12"}, place.engine)
    if place.engine == "docker":
        client = docker.DockerClient(base_url=place.daemon)
        assert client.api.containers(all=True) == []
        client.close()


def test_without_a_login_nothing_is_proven(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    private = f"{place.registry}/pypa/private@sha256:{'ab' * 32}"
    done = run(place, tmp_path, private, "--manylinux-distros=debian-12", PROJECTS[0], login=False)
    assert done.returncode == ExitCode.NOT_PROVEN, done.stdout + done.stderr
    assert "could not be pulled" in done.stdout
    assert REFUSALS[place.engine] in done.stdout
    assert not (tmp_path / "wheelhouse").exists()


@pytest.mark.samples
def test_four_pythons_on_four_distros(place: Place, tmp_path: Path) -> None:
    targets = {
        "cp39": "debian-11",
        "cp311": "debian-12",
        "cp313": "debian-13",
        "cp314": "debian-testing",
    }
    archive = tmp_path / "four.tar"
    make_archive(archive, targets.values(), POLICY)
    builder = place.pushed(archive)
    distros = f"--manylinux-distros={','.join(targets.values())}"
    done = run(place, tmp_path, builder, distros, *PROJECTS)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    check(tmp_path, builder, targets, place.engine)


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
    if place.engine != "docker":
        return  # see the next test
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


@pytest.mark.parametrize("vsyscall", [True, False])
def test_a_root_in_which_nothing_runs_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, vsyscall: bool
) -> None:
    """The same without a daemon."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "true", "cat"):
        (tmp_path / "bin" / name).write_bytes(crashing_program())
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(dead_image, "has_vsyscall", lambda: vsyscall)
    image = Image(
        digest="sha256:0",
        name="crash",
        source=ImageSource.LOCAL,
        arch="x86_64",
        root=str(tmp_path),
        environment=(("PATH", "/bin"),),
    )
    engine = select_engine("bubblewrap")
    try:
        with pytest.raises(DeadImageError, match="image crash runs no command") as caught:
            read_layout(image, engine)
    finally:
        engine.close()
    assert ("no vsyscall page" in caught.value.why) is not vsyscall
    assert "or set builder = zig" in caught.value.remedy


def test_an_image_in_a_file_builds_like_the_one_in_its_registry(
    place: Place, builder: str, tmp_path: Path
) -> None:
    """What an organisation without a registry hands on; named from the folder that pytest runs in."""
    login = place.login / "config.json"
    command = ["skopeo", "copy", f"--authfile={login}", "--src-tls-verify=false"]
    saved = f"oci-archive:{tmp_path / 'builder.tar'}"
    subprocess.run([*command, f"docker://{builder}", saved], check=True, capture_output=True)
    manifest = subprocess.run(["skopeo", "inspect", "--raw", saved], check=True, capture_output=True)
    done = run(
        place,
        tmp_path,
        "oci-archive:builder.tar",
        "c_extension",
        "--manylinux-distros=debian-12",
    )
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    build = cases(tmp_path)["c_extension::build[cp311-manylinux1_x86_64]"]
    assert build["manylinux.verdict"] == "built"
    assert build["manylinux.image"] == f"sha256:{hashlib.sha256(manifest.stdout).hexdigest()}"
