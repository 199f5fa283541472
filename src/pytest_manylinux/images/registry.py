"""Official images through a container engine's API: pulled, and provisioned in a container.

Works through the low-level API of the Docker SDK, which Podman's socket speaks too. A pull tells how
far it is, and whose fault it is if it fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, ImageNotFound

from pytest_manylinux.engines.container.connection import speaking_to
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.shutdown import lifetime
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.derive import PACKAGES, WAY, derive, inspect, inspect_distribution
from pytest_manylinux.images.failure import pull_failed
from pytest_manylinux.images.image_progress import WHAT, Pace
from pytest_manylinux.images.official_images import OfficialImages, Pulled, derived_digest, derived_note
from pytest_manylinux.images.provision import ProvisionPlan
from pytest_manylinux.images.references import PLATFORMS, Reference, parse_reference
from pytest_manylinux.model.distro import Distro

REPOSITORY = "localhost/pytest-manylinux/derived"
"""Where derived images are tagged. `localhost` keeps Podman from looking for a registry."""


@dataclass(kw_only=True)
class RegistryImages(OfficialImages):
    """See `OfficialImages`. `engine` is whose API `api` is."""

    api: APIClient
    engine: str = "docker"

    def _digest_of(self, wanted: Reference, arch: str, title: str) -> str:
        """Without pulling where the engine can: Podman has no such question, and pulls."""
        if self.engine == "podman":
            return self.pull(str(wanted), arch, title=title).digest
        with speaking_to(self.engine, f"asking for {wanted}"):
            try:
                found = inspect_distribution(self.api, str(wanted))
            except APIError as error:
                raise pull_failed(title, wanted, str(error.explanation or error)) from error
        return str(found["Descriptor"]["digest"])

    def _without_registry(self, text: str, arch: str) -> Pulled | None:
        del arch
        wanted = parse_reference(text)
        found = self._inspect(text) or self._inspect(wanted)
        return None if found is None else _pulled(wanted, found)

    def _local(self, wanted: Reference, arch: str) -> Pulled | None:
        if not wanted.digest:
            return None
        found = self._inspect(wanted)
        if found is None or found.get("Architecture") != PLATFORMS[arch].split("/")[1]:
            return None
        return _pulled(wanted, found)

    def _fetched(self, wanted: Reference, arch: str, title: str) -> Pulled:
        told = pull(self.api, wanted, arch, engine=self.engine, title=title, say=self.say)
        found = self._inspect(wanted)
        if found is None:
            raise ImageError(f"{title}: {wanted} was pulled, and is not there", remedy="run it again")
        pulled = _pulled(wanted, found)
        return replace(pulled, digest=told or pulled.digest)

    def _inspect(self, name: Reference | str) -> dict[str, Any] | None:
        """What the engine knows of a local image; None if there is none."""
        with speaking_to(self.engine, f"looking for {name}"):
            try:
                return inspect(self.api, str(name))
            except ImageNotFound:
                return None

    def _derive(self, distro: Distro, arch: str, base: Pulled, plan: ProvisionPlan) -> Pulled:
        del arch
        tag = hashlib.sha256(f"{base.id} {plan.key}".encode()).hexdigest()[:32]
        reference = f"{REPOSITORY}/{distro.id}:{tag}"
        with self.locked(f"derived-{tag}"):
            described = self._inspect(reference) or self._install(distro, base, plan, reference)
        return Pulled(
            id=str(described["Id"]),
            digest=derived_digest(base, plan, _label(described, PACKAGES)),
            reference=reference,
            note=derived_note(distro, unquote(_label(described, WAY))),
        )

    def _install(
        self, distro: Distro, base: Pulled, plan: ProvisionPlan, reference: str
    ) -> dict[str, Any]:
        self.say(f"{distro.id}: installing Python into the image, once")
        bundle = self.network.ca_bundle
        with speaking_to(self.engine, f"installing Python into the image of {distro.id}"):
            derive(
                self.api,
                base.id,
                plan,
                reference,
                title=distro.id,
                ca_bundle=bundle,
                say=self.say,
            )
            return inspect(self.api, reference)


def _label(described: Mapping[str, Any], name: str) -> str:
    return str(((described.get("Config") or {}).get("Labels") or {}).get(name) or "")


def _pulled(wanted: Reference, described: Mapping[str, Any]) -> Pulled:
    digests = [d.partition("@") for d in described.get("RepoDigests") or ()]
    # One image may have several names, each with a digest of its registry's own.
    named = [digest for name, _, digest in digests if name == wanted.repository]
    digest = next(iter([*named, *(digest for _, _, digest in digests), described["Id"]]))
    return Pulled(id=str(described["Id"]), digest=wanted.digest or str(digest), reference=str(wanted))


_DIGEST = re.compile(r"Digest: (sha256:[0-9a-f]{64})")
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError)
_EVERY = 5.0
"""Seconds between two lines of progress."""
_MEGABYTE = 1_000_000
_SILENCE = 600.0
"""Seconds without an event after which a pull counts as hung."""
_LOOK_UP = 0.5
"""Seconds between two looks at whether the run goes on."""
Event = Mapping[str, Any]
Keep = Callable[[requests.Response], object]
_LOADING = frozenset({"Pulling fs layer", "Waiting", "Downloading"})


def pull(api: APIClient, wanted: Reference, arch: str, *, engine: str, title: str, say: Say) -> str:
    """Pull an image; gives its digest if the engine tells it, as Docker does and Podman does not.

    Raises ImageError, NoAnswerError, and EngineError if the engine itself is gone. A registry that
    stops in the middle is one that does not answer.
    """
    progress, digest = PullProgress(title, say), ""

    def begin(keep: Keep) -> Iterable[Event]:
        with _kept(api, keep):
            events: Iterable[Event] = api.pull(
                wanted.repository,
                wanted.digest or wanted.tag,
                stream=True,
                decode=True,
                platform=PLATFORMS[arch],
            )
        return events

    with speaking_to(engine, f"pulling {wanted}"):
        try:
            for event in followed(begin, progress):
                if "error" in event:
                    raise pull_failed(title, wanted, str(event["error"]))
                told = _DIGEST.fullmatch(str(event.get("status", "")).strip())
                digest = told[1] if told else digest
        except APIError as error:
            raise pull_failed(title, wanted, str(error.explanation or error)) from error
        except _TIMEOUTS as error:
            raise pull_failed(title, wanted, f"timed out: {engine} said nothing more") from error
        except _StoppedError as error:
            raise pull_failed(title, wanted, f"timed out: {error}") from error
    return digest


class _StoppedError(Exception):
    """Nothing more comes, or next to nothing; its word says which."""


def followed(begin: Callable[[Keep], Iterable[Event]], progress: PullProgress) -> Iterator[Event]:
    """The events of a pull, for as long as it goes on; raises RunEndedError if the run does not.

    They are read in a thread of their own, which nobody waits for: it may be held up before the first.
    Who is not interested any more hangs up, on which the engine stops pulling; `begin` is handed what
    keeps the answer for that.
    """
    came: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    answers: list[requests.Response] = []
    left = threading.Event()

    def read() -> None:
        try:
            for event in begin(answers.append):
                came.put(event)
                if left.is_set():
                    return
            came.put(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            came.put(error)

    threading.Thread(target=read, name="manylinux-pull", daemon=True).start()
    try:
        while (event := _next(came, progress.pace)) is not None:
            progress.feed(event)
            yield event
    finally:
        left.set()
        for answer in answers:
            _hang_up(answer)


@contextlib.contextmanager
def _kept(api: APIClient, keep: Keep) -> Iterator[None]:
    """Have `keep` given the answers that come to this thread."""
    me = threading.get_ident()

    def hook(answer: requests.Response, **_: object) -> None:
        if threading.get_ident() == me:
            keep(answer)

    hooks = api.hooks["response"]
    hooks.append(hook)
    try:
        yield
    finally:
        hooks.remove(hook)


def _hang_up(answer: requests.Response) -> None:
    """End a connection under whoever is reading from it."""
    with (
        contextlib.suppress(OSError, ValueError, AttributeError),  # it has ended already
        socket.socket(fileno=os.dup(answer.raw.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


def _next(came: queue.SimpleQueue[Event | BaseException | None], pace: Pace) -> Event | None:
    while True:
        lifetime().check()
        if pace.is_trickle:
            raise _StoppedError(WHAT)
        if pace.is_silent:
            raise _StoppedError(f"not a word for {pace.silence:.0f} s")
        try:
            event = came.get(timeout=_LOOK_UP)
        except queue.Empty:
            continue
        if isinstance(event, BaseException):
            raise event
        return event


@dataclass
class PullProgress:
    """Turns the engine's events into a line of progress every few seconds, and knows their pace."""

    title: str
    say: Say
    clock: Callable[[], float] = time.monotonic
    _layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    pace: Pace = field(init=False)
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()
        self.pace = Pace(_SILENCE, self.clock)

    def feed(self, event: Event) -> None:
        """Take an event: `id` is a layer, `progressDetail` its bytes so far and in all."""
        detail, status = event.get("progressDetail") or {}, event.get("status")
        if status == "Downloading" and detail.get("total"):
            self._layers[str(event.get("id"))] = int(detail.get("current", 0)), int(detail["total"])
        if status in _LOADING:
            self.pace.loaded(1 + sum(have for have, _ in self._layers.values()))
        else:
            self.pace.heard()
        if self._layers and self.clock() - self._last >= _EVERY:
            self._last = self.clock()
            have, whole = (sum(column) for column in zip(*self._layers.values(), strict=True))
            self.say(f"{self.title}: pulled {have // _MEGABYTE} of {whole // _MEGABYTE} MB")
