"""One pull from a registry through a container engine's API: progress, and whose fault a failure is."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError

from pytest_manylinux.engines.container.connection import speaking_to
from pytest_manylinux.host.shutdown import lifetime
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.failure import pull_failed
from pytest_manylinux.images.image_progress import WHAT, Pace
from pytest_manylinux.images.references import PLATFORMS, Reference

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
