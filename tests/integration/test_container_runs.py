"""Whole runs in containers: what they find, and what becomes of them when a part goes away.

Wants `dockerd`, `containerd`, `podman` and `docker-registry` (Debian: docker.io, podman,
docker-registry).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound
from engine_daemons import docker_daemon, engine_running
from loopback_registry import registry_running
from sandboxes import OWN, eventually, processes_with
from wheels import build_wheel
from whole_runs import folder_of_wheels, look

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.container.engine import reference_of
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[2] / "sample_projects"
PROJECTS = ("portable/abi3_extension", "faulty/exit_on_import")
DISTRO = "debian-13"
ROW = """
[[tool.pytest-manylinux.distro]]
id = "acme-{number}"
family = "acme"
release = "{number}"
glibc = "2.41"
package-manager = "apt"
architectures = ["x86_64"]
image = "{address}/acme:{number}"
interpreters = [{{ version = "3.13", packages = [] }}]
"""
# Holds a run after its first pull until the test says that it may go on.
PAUSE = """
import pathlib, time
from pytest_manylinux.images import registry

here, pull = pathlib.Path(__file__).parent, registry.pull

def first(*arguments, **words):
    digest = pull(*arguments, **words)
    registry.pull = pull
    (here / "pulled").touch()
    while not (here / "go").exists():
        time.sleep(0.05)
    return digest

registry.pull = first
"""


class Run:
    """`pytest --manylinux` in `folder`, begun; it writes proof.json and junit.xml there."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        reports = ("--manylinux-proof=proof.json", "--junitxml=junit.xml")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
        self.process = subprocess.Popen(
            [*command, *reports, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.words = ""

    def end(self, *, timeout: float = 900) -> int:
        """Wait for it; gives the exit code."""
        self.words, _ = self.process.communicate(timeout=timeout)
        assert "Traceback" not in self.words, self.words
        assert "INTERNALERROR" not in self.words, self.words
        return self.process.returncode

    def verdicts(self) -> dict[tuple[str, str], Verdict]:
        """Verdicts by wheel and subject."""
        record = read_proof(self.folder / "proof.json").record
        return {(verdict.wheel, verdict.subject): verdict for verdict in record.verdicts}

    def property_of(self, case: str, name: str) -> str:
        """A property of a testcase in the JUnit file."""
        (found,) = ET.parse(self.folder / "junit.xml").findall(f".//testcase[@name='{case}']")  # noqa: S314
        values = {str(p.get("name")): str(p.get("value")) for p in found.iter("property")}
        return values[f"manylinux.{name}"]


class Daemon:
    """A Docker daemon of these tests' own, that can be killed and started again on what it had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = ExitStack()
        self.address = self.life.enter_context(docker_daemon(folder))

    def kill(self) -> None:
        """As the kernel does it to what takes too much memory."""
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)

    def start_again(self) -> None:
        """Start it after it was killed."""
        self.life.close()
        self.address = self.life.enter_context(docker_daemon(self.folder))


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="runs-", ignore_cleanup_errors=True) as folder:
        daemon = Daemon(Path(folder))
        with daemon.life:
            yield daemon


def all_containers(daemon: Daemon) -> list[str]:
    """What each container of a daemon is: its id, its state and its labels.

    Not what it lists and, asked for it, does not have: Docker keeps its list apart, and on a busy
    machine 20.10 was seen to list a container until it was started again.
    """
    client = docker.DockerClient(base_url=daemon.address)
    found = []
    for container in client.api.containers(all=True):
        with suppress(NotFound):
            known = client.api.inspect_container(container["Id"])
            found.append(f"{known['Id']}: {known['State']}, {known['Config']['Labels']}")
    client.close()
    return found


def test_all_engines_find_the_same(daemon: Daemon, tmp_path: Path) -> None:
    for name in PROJECTS:
        shutil.copytree(SAMPLES / name, tmp_path / "projects" / name)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    folder_of_wheels(tmp_path / "dist")
    distro = (f"--manylinux-distros={DISTRO}", "--manylinux-image-source=archive")
    found: dict[str, dict[tuple[str, str], tuple[object, ...]]] = {}
    for engine, path in (("bubblewrap", "projects"), ("docker", "projects"), ("podman", "wh-docker")):
        options = (f"--manylinux-engine={engine}", f"--manylinux-wheelhouse=wh-{engine}", *distro)
        # What bubblewrap built and saw before in this way serves; containers do it all anew.
        anew = () if engine == "bubblewrap" else ("--manylinux-fresh",)
        with engine_running(engine, shared=True) if engine == "podman" else nullcontext():
            run = Run(tmp_path, *options, *anew, path, "dist", DOCKER_HOST=daemon.address)
            run.end()
        verdicts = run.verdicts()
        found[engine] = {key: look(verdict) for key, verdict in verdicts.items()}
        seen = [verdict.observation for verdict in verdicts.values() if verdict.observation]
        assert {observation.engine for observation in seen} == {engine}
    assert found["docker"] == found["bubblewrap"]
    assert len(found["docker"]) == 2 * (len(PROJECTS) + 3)
    assert found["podman"].keys() == found["docker"].keys()
    for key, (outcome, *rest) in found["podman"].items():
        declared = found["docker"][key]  # a wheel that is given by itself brings no declarations
        assert rest == list(declared[1:])
        assert (outcome is Outcome.PORTABLE) == (declared[0] is Outcome.PORTABLE)
    assert all_containers(daemon) == []


@contextmanager
def registry_of(daemon: Daemon, folder: Path) -> Iterator[str]:
    """A registry that has one root of Debian as acme:1 and acme:2, and the daemon does not."""
    distro = load_catalogue().get(DISTRO)
    image = ArchiveImages(ImageStore()).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    client = docker.DockerClient(base_url=daemon.address, timeout=600)
    with registry_running(folder) as address:
        for number in ("1", "2"):
            client.api.tag(reference_of(client, image), f"{address}/acme", number)
            push(client, f"{address}/acme:{number}")
        yield address
    client.close()


def push(client: docker.DockerClient, reference: str) -> str:
    """Push what is tagged so, and untag it; the digest in the registry."""
    events = list(client.api.push(reference, stream=True, decode=True))
    client.api.remove_image(reference, force=True)
    return str(next(event["aux"]["Digest"] for event in events if "aux" in event))


def move(daemon: Daemon, reference: str) -> str:
    """Lead a tag to another image, with the same files; its digest."""
    client = docker.DockerClient(base_url=daemon.address, timeout=600)
    client.api.pull(reference)
    container = client.api.create_container(reference, command=["true"])["Id"]
    repository, _, tag = reference.rpartition(":")
    client.api.commit(container, repository=repository, tag=tag, conf={"Labels": {"moved": "yes"}})
    client.api.remove_container(container)
    digest = push(client, reference)
    client.close()
    return digest


def test_a_registry_that_goes_away_in_the_middle(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "pause.py").write_text(PAUSE)
    build_wheel(tmp_path / "dist", {"good.py": "x = 1\n"}, name="good")
    options = ("--manylinux-engine=docker", "--manylinux-distros=acme-1,acme-2", "--manylinux-jobs=1")
    surroundings = {
        "DOCKER_HOST": daemon.address,
        "PYTHONPATH": str(tmp_path),
        "PYTEST_MANYLINUX_CACHE": str(tmp_path / "cache"),
    }
    (tmp_path / "registry").mkdir()
    with ExitStack() as serving:
        address = serving.enter_context(registry_of(daemon, tmp_path / "registry"))
        rows = [ROW.format(number=number, address=address) for number in ("1", "2")]
        (tmp_path / "pyproject.toml").write_text("".join(rows))
        before = Run(tmp_path, *options, "dist", **surroundings)
        assert before.end() == ExitCode.OK, before.words
        first = before.property_of("trial[acme-1-cp313]", "image")
        assert "has moved" not in before.words

        moved = move(daemon, f"{address}/acme:1")
        run = Run(tmp_path, "-p", "pause", *options, "dist", **surroundings)
        wait_for((tmp_path / "pulled").exists, run)
        serving.close()
        (tmp_path / "go").touch()
        assert run.end() == ExitCode.NOT_PROVEN, run.words

    (audit, stands, missing) = run.verdicts().values()
    assert (audit.outcome, stands.outcome) == (Outcome.PORTABLE, Outcome.PORTABLE)
    assert stands.observation is not None
    assert (stands.observation.image, stands.observation.image_source) == (moved, "registry")
    assert run.property_of("trial[acme-1-cp313]", "image") == moved != first
    assert f"{address}/acme:1 has moved since the last run, from {first} to {moved}" in run.words
    assert (missing.subject, missing.outcome) == ("acme-2-cp313-x86_64", Outcome.NOT_PROVEN)
    assert missing.cause is Cause.IMAGE
    assert f"{address}/acme:2 could not be pulled" in missing.reason
    assert "refused" in missing.reason
    assert all_containers(daemon) == []


def wait_for(condition: Callable[[], bool], run: Run) -> None:
    """Wait until a run has come so far."""
    end = time.monotonic() + 600
    while not condition():
        assert run.process.poll() is None, run.end()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_daemon_that_is_killed_in_the_middle(daemon: Daemon, tmp_path: Path) -> None:
    mark = f"60000.125{OWN}"  # seconds that nobody else sleeps
    hang = f"import subprocess\nsubprocess.run(['sleep', '{mark}'])\n"
    build_wheel(tmp_path / "dist", {"hang.py": hang}, name="a_hang")
    build_wheel(tmp_path / "dist", {"good.py": "x = 1\n"}, name="good")
    options = ("--manylinux-engine=docker", f"--manylinux-distros={DISTRO}", "--manylinux-jobs=1")
    more = ("--manylinux-image-source=archive", "--manylinux-fresh")
    run = Run(tmp_path, *options, *more, "dist", DOCKER_HOST=daemon.address)
    wait_for(lambda: bool(processes_with(mark)), run)
    daemon.kill()
    assert run.end(timeout=60) == ExitCode.NOT_PROVEN, run.words
    trials = [v for (_, subject), v in run.verdicts().items() if subject != "audit"]
    assert [(v.outcome, v.cause) for v in trials] == [(Outcome.NOT_PROVEN, Cause.ENGINE)] * 2
    assert all("docker does not answer any more" in verdict.reason for verdict in trials)
    daemon.start_again()
    again = Run(tmp_path, *options, *more, "-k", "good", "dist", DOCKER_HOST=daemon.address)
    assert again.end() == ExitCode.OK, again.words
    assert all_containers(daemon) == []


@pytest.mark.attack("fault")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_containers_at_work_and_at_rest_end_with_the_run(
    daemon: Daemon, tmp_path: Path, number: signal.Signals
) -> None:
    """One has a trial when the signal comes, another has done those after it."""
    mark = f"60000.{125 + number}{OWN}"
    files = dict.fromkeys(("a_first", "b_second", "d_later", "e_later", "f_later"), "x = 1\n")
    files["c_hang"] = f"import subprocess\nsubprocess.run(['sleep', '{mark}'])\n"
    for name, code in files.items():
        build_wheel(tmp_path / "dist", {f"{name}.py": code}, name=name)
    options = ("--manylinux-engine=docker", f"--manylinux-distros={DISTRO}", "--manylinux-jobs=2")
    more = ("--manylinux-image-source=archive", "--manylinux-fresh")
    run = Run(tmp_path, *options, *more, "dist", DOCKER_HOST=daemon.address)
    wait_for(lambda: bool(processes_with(mark)) and len(all_containers(daemon)) > 1, run)
    run.process.send_signal(number)
    run.process.communicate(timeout=120)
    assert run.process.returncode not in {0, 1}
    if number is signal.SIGINT:
        assert all_containers(daemon) == []
    assert eventually(lambda: all_containers(daemon) == [])
    assert processes_with(mark) == []


def test_a_run_that_was_killed_with_its_daemon_is_cleaned_up_by_the_next(
    daemon: Daemon, tmp_path: Path
) -> None:
    """No daemon was there to remove its containers."""
    for number in range(5):
        build_wheel(
            tmp_path / "dist", {f"w{number}.py": "import time; time.sleep(1)\n"}, name=f"w{number}"
        )
    options = ("--manylinux-engine=docker", f"--manylinux-distros={DISTRO}", "--manylinux-jobs=2")
    more = ("--manylinux-image-source=archive", "--manylinux-fresh")
    run = Run(tmp_path, *options, *more, "dist", DOCKER_HOST=daemon.address)
    wait_for(lambda: len(all_containers(daemon)) > 1, run)
    daemon.kill()
    run.process.kill()
    run.process.communicate(timeout=60)
    daemon.start_again()
    again = Run(tmp_path, *options, *more, "-k", "w0", "dist", DOCKER_HOST=daemon.address)
    assert again.end() == ExitCode.OK, again.words
    assert all_containers(daemon) == []
