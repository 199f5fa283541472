"""What is true of the engines that keep containers: their images and their leftovers."""

from __future__ import annotations

import base64
import contextlib
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import pytest
from sandboxes import OWN, eventually, lines, processes_with, sh

from pytest_manylinux.engines.api import SandboxSpec
from pytest_manylinux.engines.container.engine import ContainerEngine, reference_of
from pytest_manylinux.engines.container.leftovers import LABEL, owner_labels
from pytest_manylinux.engines.container.sandbox import ContainerSandbox
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import SandboxError

pytestmark = pytest.mark.parametrize("where", ["docker", "podman"], indirect=True)

OWNER = f"""
import sys, pickle, base64
from pytest_manylinux.engines.api import Command
from pytest_manylinux.engines.select import select_engine
name, spec = pickle.loads(base64.b64decode(sys.argv[1]))
engine = select_engine(name)
sandbox = engine.open(spec)
assert sandbox.exec(Command(argv=("true",))).ok
print(engine._names, flush=True)
sandbox.exec(Command(argv=("sleep", "4246.5{OWN}"), timeout=4000))
"""


@pytest.fixture
def client(engine: ContainerEngine) -> docker.DockerClient:
    return engine._client


@pytest.fixture
def reference(engine: ContainerEngine, spec: SandboxSpec) -> str:
    """The conformance image, as the engine calls it."""
    engine.open(spec).close()
    return reference_of(engine._client, spec.image)


@pytest.fixture
def container(client: docker.DockerClient) -> Iterator[list[str]]:
    """A list of containers to be removed in the end."""
    made: list[str] = []
    yield made
    for one in made:
        with contextlib.suppress(docker.errors.NotFound):
            client.api.remove_container(one, force=True)


def test_leftovers_of_dead_runs_are_removed_and_no_others(
    engine: ContainerEngine, client: docker.DockerClient, reference: str, container: list[str]
) -> None:
    ours = owner_labels("test")
    kinds = {
        "a living owner": ours,
        "a dead owner": {**ours, f"{LABEL}.started": "1"},
        "an owner before the last boot": {**ours, f"{LABEL}.boot": "0"},
        "an owner on another machine": {**ours, f"{LABEL}.host": "other", f"{LABEL}.started": "1"},
        "not ours": {"org.example": "x"},
        "almost ours": {f"{LABEL}.started": "1"},
    }
    ids = {}
    for kind, labels in kinds.items():
        made = client.api.create_container(reference, command=["true"], labels=labels)
        ids[made["Id"]] = kind
        container.append(made["Id"])
    select_engine(engine.name).close()
    left = {ids[found["Id"]] for found in client.api.containers(all=True) if found["Id"] in ids}
    assert left == set(kinds) - {"a dead owner", "an owner before the last boot"}


def test_a_root_is_imported_once(
    engine: ContainerEngine, spec: SandboxSpec, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference.endswith(spec.image.digest.replace(":", "-"))

    def fail(*_: object) -> None:
        raise AssertionError("imported again")

    monkeypatch.setattr("pytest_manylinux.engines.container.engine.pack_root", fail)
    other = select_engine(engine.name)
    other.open(spec).close()
    other.close()


def test_two_processes_import_a_root_in_turn(
    engine: ContainerEngine, spec: SandboxSpec, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second, while the first is at it, waits and finds it there."""
    client, there, imported = engine._client, threading.Event(), []

    def look(_: docker.DockerClient, name: str) -> bool:
        return there.is_set() and name == reference

    def slow(_: docker.DockerClient, root: Path, name: str) -> None:
        assert (str(root), name) == (spec.image.root, reference)
        imported.append(name)
        time.sleep(1)
        there.set()

    monkeypatch.setattr("pytest_manylinux.engines.container.engine._has", look)
    monkeypatch.setattr("pytest_manylinux.engines.container.engine._import", slow)
    with ThreadPoolExecutor(3) as pool:
        names = list(pool.map(reference_of, [client] * 3, [spec.image] * 3))
    assert names == [reference] * 3
    assert imported == [reference]


def test_an_image_by_its_reference(engine: ContainerEngine, spec: SandboxSpec, reference: str) -> None:
    image = replace(spec.image, root=None, reference=reference)
    with engine.open(replace(spec, image=image)) as sandbox:
        assert lines(sh(sandbox, "id -un")) == ["user"]


def test_a_reference_to_nothing(engine: ContainerEngine, spec: SandboxSpec) -> None:
    image = replace(spec.image, root=None, reference="localhost/no-such-image:none")
    with pytest.raises(SandboxError, match="no-such-image"):
        engine.open(replace(spec, image=image))


def test_nothing_is_left_of_a_sandbox(
    engine: ContainerEngine, spec: SandboxSpec, client: docker.DockerClient
) -> None:
    with engine.open(spec) as sandbox:
        assert isinstance(sandbox, ContainerSandbox)
        assert sh(sandbox, "sleep 600 &").ok
        container = sandbox._container
        assert known(client, container)
    assert not known(client, container)


def known(client: docker.DockerClient, container: str) -> bool:
    """Whether the daemon has it, whoever else's it has meanwhile."""
    return bool(client.api.containers(all=True, filters={"id": container}))


def test_staged_files_go_with_the_engine(engine: ContainerEngine, spec: SandboxSpec) -> None:
    other = select_engine(engine.name)
    assert isinstance(other, ContainerEngine)
    other.open(spec).close()
    folder = other._staging.folder
    assert list(folder.iterdir())
    other.close()
    assert not folder.exists()


@pytest.mark.attack("fault")
def test_what_watches_over_finished_commands_ends_with_the_engine(
    engine: ContainerEngine, spec: SandboxSpec
) -> None:
    other = select_engine(engine.name)
    assert isinstance(other, ContainerEngine)
    with other.open(spec) as sandbox:
        assert sh(sandbox, "true").ok
        watching = processes_with(other._names)
        assert bool(watching) is (engine.name == "podman"), "monitors are told by the container's name"
    other.close()
    assert eventually(lambda: processes_with(other._names) == [])


@pytest.mark.attack("fault")
def test_what_watches_over_commands_ends_with_an_owner_that_is_killed(
    engine: ContainerEngine, client: docker.DockerClient, spec: SandboxSpec
) -> None:
    argument = base64.b64encode(pickle.dumps((engine.name, spec))).decode()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, argument], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        names = owner.stdout.readline().strip()
        assert eventually(lambda: len(processes_with(f"sleep 4246.5{OWN}")) > 0)
        assert client.api.containers(filters={"name": names})
        owner.kill()
    assert eventually(lambda: processes_with(f"4246.5{OWN}") + processes_with(names) == [])
    assert eventually(lambda: client.api.containers(all=True, filters={"name": names}) == [])
