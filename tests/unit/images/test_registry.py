from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, ImageNotFound

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import EngineError, ImageError, RunEndedError
from pytest_manylinux.host.shutdown import Shutdown
from pytest_manylinux.images import derive, image_progress, registry
from pytest_manylinux.images.failure import NoAnswerError
from pytest_manylinux.images.provision import Network
from pytest_manylinux.images.registry import PullProgress, RegistryImages
from pytest_manylinux.model.distro import Image, ImagePurpose, ImageSource

DISTRO = load_catalogue([{"id": "debian-12", "image": "debian:12-slim"}]).get("debian-12")
FULL = "docker.io/library/debian:12-slim"
DIGEST = "sha256:" + "a" * 64


class FakeHijacked:
    """A connection over which a command's output comes, framed as the Docker API does it."""

    broken = False

    def __init__(self, output: bytes) -> None:
        self.frames = [struct.pack(">BxxxL", 2, len(output)) + output] if output else []

    def receive(self, seconds: float) -> bytes:
        assert seconds > 0
        return self.frames.pop() if self.frames else b""

    def hang_up(self) -> None:
        self.frames = []

    close = hang_up


class FakeApi:
    """A daemon with a registry behind it; remembers what it was asked."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Callable[..., object]]] = {"response": []}
        self.registry = {FULL: DIGEST}
        self.local: dict[str, dict[str, Any]] = {}
        self.pulls: list[tuple[str, str, str]] = []
        self.commands: list[tuple[list[str], Mapping[str, str]]] = []
        self.committed: list[Mapping[str, Any]] = []
        self.mounts: list[Any] = []
        self.running: list[str] = []
        self.exit_code = 0
        self.derived = "id-of-derived"
        self.listed = b"python3 3.11.2\nlibc6 2.36\n"
        self.refusals: dict[str, str] = {}

    def pull(
        self, repository: str, tag: str, *, stream: bool, decode: bool, platform: str
    ) -> Iterator[Mapping[str, str]]:
        assert stream
        assert decode
        self.pulls.append((repository, tag, platform))
        name = f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"
        if repository in self.refusals:
            yield {"error": self.refusals[repository]}
            return
        known = {**self.registry, **{f"{repository}@{d}": d for d in self.registry.values()}}
        if name not in known:
            yield {"error": "manifest unknown"}
            return
        yield {"status": "Pulling"}
        digests = [f"mirror.example/x@sha256:{'0' * 64}", f"{repository}@{known[name]}"]
        self.local[name] = {"Id": "id-of-base", "RepoDigests": digests, "Config": {"Env": ["A=1"]}}
        self.local[name]["Architecture"] = "amd64"
        self.local["id-of-base"] = self.local[name]

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.local:
            raise ImageNotFound(name)
        return self.local[name]

    def create_host_config(
        self, *, auto_remove: bool, network_mode: str, mounts: list[Any], ulimits: list[Any]
    ) -> dict[str, str]:
        assert auto_remove
        assert {limit.name for limit in ulimits} >= {"nofile", "nproc"}
        self.mounts += mounts
        return {"NetworkMode": network_mode}

    def create_container(self, base: str, **options: object) -> dict[str, str]:
        assert "environment" not in options
        self.running.append(base)
        return {"Id": "container"}

    def attach_socket(self, container: str, params: Mapping[str, int]) -> bytes:
        assert params["stdin"]
        assert container
        return b""

    def start(self, container: str) -> None:
        assert container == "container"

    def exec_create(
        self, container: str, command: list[str], *, environment: Mapping[str, str], user: str
    ) -> dict[str, str]:
        assert (container, user) == ("container", "0")
        self.commands.append((command, environment))
        return {"Id": "exec"}

    def exec_start(self, execution: str, *, socket: bool) -> bytes:
        assert execution
        assert socket
        if self.commands[-1][0][-2:] == ["dpkg-query", "--show"]:
            return self.listed
        return b"Reading package lists\nE: no such package\n"

    def exec_inspect(self, execution: str) -> dict[str, Any]:
        assert execution
        return {"Running": False, "ExitCode": self.exit_code}

    def commit(
        self,
        container: str,
        *,
        repository: str,
        tag: str,
        conf: Mapping[str, Any],
        changes: list[str],
    ) -> None:
        assert container == "container"
        told = dict(line.removeprefix("LABEL ").split("=", 1) for line in changes)
        assert told.items() <= conf["Labels"].items()
        self.committed.append(conf)
        self.local[f"{repository}:{tag}"] = {"Id": self.derived, "Config": conf}

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        assert container == "container"
        assert force
        assert v
        self.running.pop()

    def containers(self, *, all: bool, filters: Mapping[str, str]) -> list[str]:  # noqa: A002 - the SDK's
        assert all
        assert filters == {"id": "container"}
        return list(self.running)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setattr(derive, "Hijacked", FakeHijacked)
    return FakeApi()


def _images(
    api: FakeApi,
    said: list[str] | None = None,
    *,
    mirrors: Mapping[str, str] | None = None,
    pins: Mapping[str, str] | None = None,
    network: Network | None = None,
    known: dict[str, str] | None = None,
) -> RegistryImages:
    return RegistryImages(
        api=cast("APIClient", api),
        say=(said if said is not None else []).append,
        mirrors=mirrors or {},
        pins=pins or {},
        network=network or Network(),
        known=known if known is not None else {},
    )


def _provide(images: RegistryImages, purpose: ImagePurpose = ImagePurpose.TRIAL) -> Image:
    return images.provide(DISTRO, "x86_64", purpose, interpreter=DISTRO.interpreters[0])


def test_an_official_image_is_pulled_and_gets_python_once(api: FakeApi) -> None:
    images = _images(api)
    first = _provide(images)
    assert _provide(images) == first
    assert _provide(_images(api)) == first
    assert first.source is ImageSource.REGISTRY
    assert first.reference == "id-of-derived"
    assert f"{FULL}@{DIGEST}" in first.name
    installs = [command for command, _ in api.commands if "install" in command]
    assert len(installs) == 1
    assert {"python3", "python3-pip", "python3-venv"} <= set(installs[0])
    assert "python3-dev" not in installs[0]
    assert api.running == []


def test_a_derived_image_is_known_by_base_and_packages_wherever_it_was_made(api: FakeApi) -> None:
    here = _provide(_images(api)).digest
    elsewhere = FakeApi()
    elsewhere.derived = "another id"
    elsewhere.listed = b"libc6 2.36\npython3 3.11.2\n"
    assert _provide(_images(elsewhere)).digest == here
    for change in ({"listed": b"libc6 2.37\n"}, {"registry": {FULL: "sha256:" + "f" * 64}}):
        other = FakeApi()
        vars(other).update(change)
        assert _provide(_images(other)).digest != here


def test_where_no_packages_are_listed_it_is_known_by_base_and_plan(api: FakeApi) -> None:
    """And not by an id of the engine's, which no other engine comes to."""
    api.listed = b""
    elsewhere = FakeApi()
    elsewhere.derived, elsewhere.listed = "another id", b""
    found = _provide(_images(api)).digest
    assert _provide(_images(elsewhere)).digest == found
    assert _provide(_images(api), ImagePurpose.BUILD).digest != found


def test_a_build_image_has_headers_too(api: FakeApi) -> None:
    _provide(_images(api), ImagePurpose.BUILD)
    assert any("python3-dev" in command for command, _ in api.commands)


def test_proxies_and_certificates_reach_the_commands_and_not_the_image(
    api: FakeApi, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    network = Network(proxies={"https_proxy": "http://user:secret@proxy"}, ca_bundle=bundle)
    _provide(_images(api, network=network))
    assert all(env["https_proxy"].endswith("@proxy") for _, env in api.commands)
    assert [mount["Source"] for mount in api.mounts] == [str(bundle)]
    (conf,) = api.committed
    assert conf["Env"] == ["A=1"]
    assert "secret" not in str(conf)


def test_an_image_that_does_not_exist_for_the_architecture_is_not_asked_for(api: FakeApi) -> None:
    row = load_catalogue().get("debian-12")
    with pytest.raises(ImageError, match="does not exist for s390x") as caught:
        _images(api).provide(row, "s390x", ImagePurpose.TRIAL, interpreter=row.interpreters[0])
    assert "debian:12-slim is for x86_64" in str(caught.value)
    assert "image-source auto" in str(caught.value)
    assert api.pulls == []


def test_a_pin_is_what_is_pulled(api: FakeApi) -> None:
    pinned = "sha256:" + "b" * 64
    api.registry["other"] = pinned
    _provide(_images(api, pins={"debian-12": pinned}))
    assert [(repository, tag) for repository, tag, _ in api.pulls] == [
        ("docker.io/library/debian", pinned)
    ]


def test_a_mirror_is_asked_instead(api: FakeApi) -> None:
    api.registry = {"localhost:5000/hub/library/debian:12-slim": DIGEST}
    _provide(_images(api, mirrors={"docker.io": "localhost:5000/hub"}))
    assert api.pulls == [("localhost:5000/hub/library/debian", "12-slim", "linux/amd64")]


def test_a_tag_that_moved_is_told(api: FakeApi) -> None:
    known: dict[str, str] = {}
    _provide(_images(api, known=known))
    said: list[str] = []
    _provide(_images(api, said, known=known))
    assert not any("has moved" in line for line in said)
    api.registry[FULL] = "sha256:" + "c" * 64
    moved = _provide(_images(api, said, known=known))
    assert any("has moved since the last run" in line and DIGEST in line for line in said)
    assert "has moved since the last run" in moved.note
    assert known[FULL] == "sha256:" + "c" * 64


def test_a_failed_pull_carries_the_registrys_words(api: FakeApi) -> None:
    api.registry = {}
    with pytest.raises(ImageError) as caught:
        _provide(_images(api))
    assert caught.value.why == "manifest unknown"
    assert FULL in caught.value.what


def test_a_registry_that_does_not_answer_is_asked_once(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(repository: str, *_: object, **__: object) -> None:
        asked.append(repository)
        words = 'Get "https://docker.io/v2/": dial tcp 192.0.2.1:443: connect: connection refused'
        raise APIError("no", explanation=words)

    monkeypatch.setattr(api, "pull", refuse)
    images = _images(api)
    with pytest.raises(ImageError, match="could not be pulled"):
        images.pull("debian:12", "x86_64", title="debian-12")
    with pytest.raises(ImageError, match=r"docker\.io does not answer") as caught:
        images.pull("ubuntu:24.04", "x86_64", title="ubuntu-24.04")
    assert "connection refused" in caught.value.why
    with pytest.raises(ImageError, match="could not be pulled"):
        images.pull("quay.io/centos/centos:stream9", "x86_64", title="centos")
    assert asked == ["docker.io/library/debian", "quay.io/centos/centos"]


@pytest.mark.parametrize(
    "words",
    [
        "manifest for debian:nonsense not found: manifest unknown",
        "pull access denied for debian, repository does not exist or may require 'docker login'",
        "toomanyrequests: You have reached your pull rate limit",
        "unauthorized: authentication required",
    ],
)
def test_a_registry_that_answers_no_is_asked_for_the_next_image(api: FakeApi, words: str) -> None:
    api.refusals["docker.io/library/debian"] = words
    images = _images(api)
    with pytest.raises(ImageError) as caught:
        images.pull("debian:12-slim", "x86_64", title="debian-12")
    assert caught.value.why == words
    api.registry["docker.io/library/ubuntu:24.04"] = DIGEST
    assert images.pull("ubuntu:24.04", "x86_64", title="ubuntu-24.04").digest == DIGEST


@pytest.mark.parametrize(
    "error",
    [requests.ConnectionError("aborted"), urllib3.exceptions.ProtocolError("Connection broken")],
)
def test_an_engine_that_dies_in_a_pull_is_an_engine_error(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def die(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api, "pull", die)
    with pytest.raises(EngineError, match="docker does not answer any more"):
        _provide(_images(api))


def test_what_was_pulled_by_digest_before_needs_no_registry(api: FakeApi) -> None:
    images = _images(api, pins={"debian-12": DIGEST})
    first = _provide(images)
    api.registry = {}
    assert _provide(_images(api, pins={"debian-12": DIGEST})) == first
    assert len(api.pulls) == 1


def test_the_digest_is_what_the_engine_says_of_the_pull(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image may have been pulled under other digests of the same repository before."""
    real, digest = api.pull, "sha256:" + "d" * 64

    def telling(*arguments: str, **options: Any) -> Iterator[Mapping[str, str]]:  # noqa: ANN401
        yield from real(*arguments, **options)
        yield {"status": f"Digest: {digest}"}

    monkeypatch.setattr(api, "pull", telling)
    assert _images(api).pull("debian:12-slim", "x86_64", title="debian-12").digest == digest


def test_podman_is_asked_for_a_digest_by_a_pull(api: FakeApi) -> None:
    images = _images(api)
    images.engine = "podman"
    assert images.digest_of("debian:12-slim", "x86_64", title="debian-12") == DIGEST


def test_progress_is_told_every_few_seconds() -> None:
    said: list[str] = []
    now = 0.0
    progress = PullProgress("debian-12", said.append, clock=lambda: now)
    for now, layer, current in ((1.0, "a", 1_000_000), (6.0, "b", 2_000_000), (7.0, "a", 9_000_000)):  # noqa: B007
        detail = {"current": current, "total": 10_000_000}
        progress.feed({"status": "Downloading", "id": layer, "progressDetail": detail})
        progress.feed({"status": "Pull complete", "id": "c", "progressDetail": {}})
    assert said == ["debian-12: pulled 3 of 20 MB"]


def test_a_registry_that_says_nothing_more_is_given_up_on(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked for other images, and who waited is not kept by the reading that still hangs."""
    end = threading.Event()

    def hang(*_: object, **__: object) -> Iterator[Mapping[str, str]]:
        yield {"status": "Pulling"}
        end.wait()

    monkeypatch.setattr(api, "pull", hang)
    monkeypatch.setattr(registry, "_SILENCE", 0.3)
    images = _images(api)
    with pytest.raises(NoAnswerError, match="not a word for") as caught:
        _provide(images)
    assert "could not be pulled" in caught.value.what
    with pytest.raises(NoAnswerError, match="was not asked for"):
        _provide(images)
    end.set()


def test_a_registry_that_lets_fall_a_few_bytes_now_and_then_is_given_up_on(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading ends with it, and so the engine's pull: nobody listens any more."""
    ended = threading.Event()

    def drip(*_: object, **__: object) -> Iterator[Mapping[str, object]]:
        try:
            for current in itertools.count():
                detail = {"current": 48 * current, "total": 10_000_000}
                yield {"status": "Downloading", "id": "a", "progressDetail": detail}
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(api, "pull", drip)
    monkeypatch.setattr(image_progress, "TRICKLE", 0.3)
    with pytest.raises(NoAnswerError, match="next to nothing"):
        _provide(_images(api))
    assert ended.wait(60)


def test_who_gives_up_hangs_up_on_the_engine(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the engine goes on, and the next pull of the same image waits for that one."""
    ended = threading.Event()
    ours, engines = socket.socketpair()
    answer = SimpleNamespace(raw=SimpleNamespace(fileno=ours.fileno))

    def events() -> Iterator[Mapping[str, str]]:
        ours.recv(1)
        ended.set()
        yield {}

    def hang(*_: object, **__: object) -> Iterator[Mapping[str, str]]:
        for hook in api.hooks["response"]:
            hook(answer, timeout=None)
        return events()

    monkeypatch.setattr(api, "pull", hang)
    monkeypatch.setattr(registry, "_SILENCE", 0.3)
    with ours, engines:
        with pytest.raises(NoAnswerError):
            _provide(_images(api))
        assert engines.recv(1) == b""
        assert ended.wait(60)
    assert api.hooks == {"response": []}


def test_the_end_of_a_run_ends_its_pulls(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    run, begun, end = Shutdown(), threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> Iterator[Mapping[str, str]]:
        begun.set()
        end.wait()
        yield {}

    monkeypatch.setattr(api, "pull", hang)
    with ThreadPoolExecutor(1, initializer=run.enter) as threads:
        provided = threads.submit(_provide, _images(api))
        assert begun.wait(60)
        run.end()
        with pytest.raises(RunEndedError):
            provided.result(timeout=60)
    end.set()


def test_a_daemon_that_refuses_is_an_image_error(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise APIError("no", explanation="connection refused")

    monkeypatch.setattr(api, "pull", refuse)
    with pytest.raises(ImageError, match="could not be pulled"):
        _provide(_images(api))


def test_a_failed_installation_leaves_no_container_and_no_image(api: FakeApi) -> None:
    api.exit_code = 100
    with pytest.raises(ImageError) as caught:
        _provide(_images(api))
    assert "exit code 100" in caught.value.what
    assert "E: no such package" in caught.value.why
    assert api.running == []
    assert api.committed == []
