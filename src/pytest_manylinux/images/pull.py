"""One pull from a registry through a container engine's API: progress, and whose fault a failure is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError

from pytest_manylinux.engines.daemons import speaking_to
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.references import PLATFORMS, Reference

# What Docker's and Podman's libraries (Go's net and net/http) say where no registry answered at all;
# a registry that answers says `manifest unknown`, `denied`, `unauthorized`, `toomanyrequests`.
_NO_ANSWER = re.compile(
    r"dial tcp|no such host|lookup .* on |connection (refused|reset)|unreachable|no route to host"
    r"|i/o timeout|timed out|awaiting headers|handshake timeout|x509:|proxyconnect|: EOF",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"Digest: (sha256:[0-9a-f]{64})")
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError)
_EVERY = 5.0
"""Seconds between two lines of progress."""
_MEGABYTE = 1_000_000


class NoAnswerError(ImageError):
    """A registry that could not be reached; asking it for another image is no use."""


def pull_failed(title: str, wanted: Reference, words: str) -> ImageError:
    """What a failed pull amounts to, by the words of engine and registry."""
    kind = NoAnswerError if _NO_ANSWER.search(words) else ImageError
    return kind(
        f"{title}: {wanted} could not be pulled",
        why=words,
        remedy="see that the registry answers and that you are logged in, or set registry-mirror; "
        "image-source = archive makes Debian's roots without a registry",
    )


def pull(api: APIClient, wanted: Reference, arch: str, *, engine: str, title: str, say: Say) -> str:
    """Pull an image; gives its digest if the engine tells it, as Docker does and Podman does not.

    Raises ImageError, NoAnswerError, and EngineError if the engine itself is gone.
    """
    progress, digest = PullProgress(title, say), ""
    with speaking_to(engine, f"pulling {wanted}"):
        try:
            for event in api.pull(
                wanted.repository,
                wanted.digest or wanted.tag,
                stream=True,
                decode=True,
                platform=PLATFORMS[arch],
            ):
                if "error" in event:
                    raise pull_failed(title, wanted, str(event["error"]))
                progress.feed(event)
                told = _DIGEST.fullmatch(str(event.get("status", "")).strip())
                digest = told[1] if told else digest
        except APIError as error:
            raise pull_failed(title, wanted, str(error.explanation or error)) from error
        except _TIMEOUTS as error:
            raise pull_failed(title, wanted, f"timed out: {engine} said nothing more") from error
    return digest


@dataclass
class PullProgress:
    """Turns the engine's events into a line of progress every few seconds."""

    title: str
    say: Say
    clock: Callable[[], float] = time.monotonic
    _layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take an event: `id` is a layer, `progressDetail` its bytes so far and in all."""
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self._layers[str(event.get("id"))] = int(detail.get("current", 0)), int(detail["total"])
        if self._layers and self.clock() - self._last >= _EVERY:
            self._last = self.clock()
            have, whole = (sum(column) for column in zip(*self._layers.values(), strict=True))
            self.say(f"{self.title}: pulled {have // _MEGABYTE} of {whole // _MEGABYTE} MB")
