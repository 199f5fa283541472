"""Make a derived image: run a provisioning plan in a container, and keep the container's files.

The user's proxies and certificates are there for the commands only. Proxies are given to each
command and not to the container, whose environment an image would inherit; certificates come in
through a mount, which no image contains.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docker import APIClient
from docker.errors import APIError
from docker.types import Mount

from pytest_manylinux.engines.container.attach import (
    STDERR,
    STDOUT,
    Frames,
    Hijacked,
    exit_code_of,
    is_whole,
)
from pytest_manylinux.engines.container.leftovers import LABEL, owner_labels, remove_container, ulimits
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.shutdown import lifetime
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.provision import (
    CA_INSIDE,
    ProvisionPlan,
    command_failed,
    install,
    packages_digest,
)

PACKAGES = f"{LABEL}.packages"
"""The label of a derived image that carries a digest of its packages with their versions."""

WAY = f"{LABEL}.way"
"""The label that says where packages came from, if that was not the image's own sources.

Percent-encoded: engines differ in how they read a space or a quote in a label.
"""

# Ends at the end of its input, which is our connection: the container goes when we do.
_HOLD = ("cat",)
_SILENCE = 900.0
"""Seconds without a word after which an installation counts as hung."""
_LATE = 60.0
"""Seconds in which the engine learns how a command ended whose output has."""
_KEPT_BYTES = 1 << 20


def derive(
    api: APIClient,
    base: str,
    plan: ProvisionPlan,
    reference: str,
    *,
    title: str,
    ca_bundle: Path | None,
    say: Say = lambda _: None,
) -> None:
    """Run `plan` in a container of `base` and tag the result `reference`.

    Raises ImageError with the package manager's last words. The container is removed in any case, by
    the engine itself if we die.
    """
    # A run that ends hangs up on the command that goes on now, and waits until the container is gone.
    with _refusals(title), lifetime().stopping():
        container = _create(api, base, ca_bundle)
        line = None
        try:
            line = Hijacked(api.attach_socket(container, params={"stdin": 1, "stream": 1}))
            api.start(container)

            def run(command: tuple[str, ...]) -> str:
                return _run(api, container, command, plan, title)

            way = install(plan, run, title, say)
            labels = {f"{LABEL}.derived": "1", PACKAGES: packages_digest(plan, run)}
            labels |= {WAY: quote(way, safe="")} if way else {}
            repository, _, tag = reference.rpartition(":")
            api.commit(
                container,
                repository=repository,
                tag=tag,
                conf=_settings(api, base, labels),
                changes=_instructions(labels),
            )
        finally:
            remove_container(api, container)
            if line is not None:
                line.close()


@contextlib.contextmanager
def _refusals(title: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise ImageError(
            f"{title}: Python could not be installed into the image",
            why=str(error.explanation or error),
        ) from error


def _create(api: APIClient, base: str, ca_bundle: Path | None) -> str:
    mounts = (
        [Mount(CA_INSIDE, str(ca_bundle.resolve()), type="bind", read_only=True)] if ca_bundle else []
    )
    created = api.create_container(
        base,
        command=list(_HOLD),
        entrypoint=[],
        user="0",
        stdin_open=True,
        labels=owner_labels("provisioning"),
        host_config=api.create_host_config(
            auto_remove=True, network_mode="host", mounts=mounts, ulimits=list(ulimits())
        ),
    )
    return str(created["Id"])


def _run(
    api: APIClient, container: str, command: tuple[str, ...], plan: ProvisionPlan, title: str
) -> str:
    """Run one command; gives the end of its output."""
    execution = api.exec_create(container, list(command), environment=dict(plan.environment), user="0")[
        "Id"
    ]
    output = _follow(Hijacked(api.exec_start(execution, socket=True)), title)
    code = exit_code_of(lambda: api.exec_inspect(execution), time.monotonic() + _LATE)
    if code != 0:
        raise command_failed(title, command, code, output)
    return output


def _follow(stream: Hijacked, title: str) -> str:
    """The last of a command's output, when it has ended; raises ImageError after a long silence."""
    kept = bytearray()

    def keep(data: bytes) -> None:
        kept.extend(data)
        del kept[:-_KEPT_BYTES]

    frames = Frames({STDOUT: keep, STDERR: keep})
    try:
        with lifetime().stopping(stream.hang_up):
            while data := stream.receive(_SILENCE):
                frames.feed(data)
        lifetime().check()
        if data is None:
            raise ImageError(
                f"{title}: installing Python hung: not a word for {_SILENCE:.0f} s",
                remedy="see whether the image's package mirrors answer, then run it again",
            )
        if not is_whole(stream, frames):
            raise ImageError(
                f"{title}: the engine broke off while a command told of itself",
                why="the connection to its daemon was lost",
                remedy="see that the engine's daemon runs, then run it again",
            )
    finally:
        stream.close()
    return kept.decode("utf-8", "replace")


def _instructions(labels: Mapping[str, str]) -> list[str]:
    """Labels as a Dockerfile has them: Podman does not look at those of the settings."""
    return [f"LABEL {name}={value}" for name, value in labels.items()]


def _settings(api: APIClient, base: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """The base image's own settings, so that nothing of our container gets into the image."""
    config = dict(inspect(api, base).get("Config") or {})
    config["Labels"] = {**(config.get("Labels") or {}), **labels}
    return config


def inspect(api: APIClient, image: str) -> dict[str, Any]:
    """What the engine knows of a local image; raises docker.errors.ImageNotFound."""
    found: dict[str, Any] = api.inspect_image(image)  # type: ignore[no-untyped-call]  # so the SDK
    return found


def inspect_distribution(api: APIClient, image: str) -> dict[str, Any]:
    """What a registry says of an image; raises docker.errors.APIError."""
    found: dict[str, Any] = api.inspect_distribution(image)  # type: ignore[no-untyped-call]  # as above
    return found
