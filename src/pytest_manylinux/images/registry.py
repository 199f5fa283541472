"""Official images from registries, each with Python and pip installed once.

Works through the low-level API of the Docker SDK, which Podman's socket speaks too. What a pull
gives is known by its digest; a derived image is known by that digest and by what was installed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docker import APIClient
from docker.errors import APIError, ImageNotFound

from pytest_manylinux.engines.container.connection import speaking_to
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.derive import (
    CA_INSIDE,
    PACKAGES,
    WAY,
    derive,
    inspect,
    inspect_distribution,
)
from pytest_manylinux.images.provision import ProvisionPlan, provision_plan
from pytest_manylinux.images.pull import NoAnswerError, pull, pull_failed
from pytest_manylinux.images.references import (
    PLATFORMS,
    Reference,
    parse_reference,
    through_mirror,
)
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, ImageSource, Interpreter

REPOSITORY = "localhost/pytest-manylinux/derived"
"""Where derived images are tagged. `localhost` keeps Podman from looking for a registry."""

Locked = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the user's own network is reached: proxies, and a file of certificates on the host."""

    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An image as it was pulled: local id, and the digest that the registry knows it by.

    `note` tells of a tag that has moved since the last run, or of packages that came from elsewhere
    than the image's own sources; else it is empty.
    """

    id: str
    digest: str
    reference: str
    note: str = ""


class _Locks:
    """A lock a name, for the threads of this process."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}

    def __call__(self, name: str) -> threading.Lock:
        return self._locks.setdefault(name, threading.Lock())


@dataclass(kw_only=True)
class RegistryImages:
    """Images by pull and provisioning. Safe to call from several threads.

    `engine` is whose API `api` is. `pins` are digests by distro id, from a lock file. `known` are
    digests by reference as the last run saw them; a tag that leads elsewhere now is said, and the
    mapping is brought up to date. `locked` gives a lock by name under which one image is made once;
    a lock that other processes see too has it made once by all of them.
    """

    api: APIClient
    say: Say
    engine: str = "docker"
    mirrors: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    known: dict[str, str] = field(default_factory=dict)
    locked: Locked = field(default_factory=_Locks, repr=False)
    _asking: _Locks = field(default_factory=_Locks, repr=False)
    _pulled: dict[tuple[str, str], Pulled] = field(default_factory=dict, repr=False)
    _silent: dict[str, NoAnswerError] = field(default_factory=dict, repr=False)

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """See `ImageProvider.provide`; raises EngineError too, if the engine itself is gone."""
        base = self._base(distro, arch)
        headers = () if purpose is ImagePurpose.TRIAL else (*interpreter.headers, *extra_packages)
        plan = self._plan(distro, arch, (*interpreter.packages, *headers))
        derived = self._derive(distro, base, plan) if plan.commands else base
        return Image(
            digest=derived.digest,
            name=f"{distro.id} ({base.reference.partition('@')[0]}@{base.digest})",
            source=ImageSource.REGISTRY,
            arch=arch,
            reference=derived.id,
            note="; ".join(dict.fromkeys(filter(None, (base.note, derived.note)))),
            base=base.digest,
        )

    def pull(self, text: str, arch: str, *, title: str) -> Pulled:
        """Pull an image once per run; raises ImageError with the registry's words.

        A registry that did not answer once is not asked again: each attempt may take its time.
        """
        wanted = through_mirror(parse_reference(text), self.mirrors)
        key = (str(wanted), arch)
        with self._asking(wanted.registry):
            if key not in self._pulled:
                self._pulled[key] = self._local(wanted, arch) or self._pull(wanted, arch, title)
            return self._pulled[key]

    def obtain(self, text: str, arch: str, *, title: str) -> Pulled:
        """Pull an image, or take one of that name that only this engine has; raises ImageError."""
        try:
            return self.pull(text, arch, title=title)
        except ImageError as error:
            wanted = parse_reference(text)
            found = self._inspect(text) or self._inspect(wanted)
            if found is None:
                raise
            self.say(f"{title}: using the image that {self.engine} has: {error.what}: {error.why}")
            return _pulled(wanted, found)

    def digest_of(self, text: str, arch: str, *, title: str) -> str:
        """The digest that a registry has for a name now; raises ImageError.

        Without pulling where the engine can: Podman has no such question, and pulls.
        """
        if self.engine == "podman":
            return self.pull(text, arch, title=title).digest
        wanted = through_mirror(parse_reference(text), self.mirrors)
        with speaking_to(self.engine, f"asking for {wanted}"):
            try:
                found = inspect_distribution(self.api, str(wanted))
            except APIError as error:
                raise pull_failed(title, wanted, str(error.explanation or error)) from error
        return str(found["Descriptor"]["digest"])

    def _base(self, distro: Distro, arch: str) -> Pulled:
        if distro.image is None:
            raise ImageError(f"the catalogue names no image for {distro.id}")
        if not distro.has_image(arch):
            there = [name for name in distro.architectures if distro.has_image(name)]
            raise ImageError(
                f"the image of {distro.id} does not exist for {arch}",
                why=f"{distro.image} is for {', '.join(there)}",
                remedy="with image-source auto, a root is made from the archive where that has it",
            )
        text = distro.image
        if distro.id in self.pins:
            text = f"{parse_reference(text).repository}@{self.pins[distro.id]}"
        return self.pull(text, arch, title=distro.id)

    def _local(self, wanted: Reference, arch: str) -> Pulled | None:
        """An image that is known by its digest and was pulled before: it cannot have changed."""
        if not wanted.digest:
            return None
        found = self._inspect(wanted)
        if found is None or found.get("Architecture") != PLATFORMS[arch].split("/")[1]:
            return None
        return _pulled(wanted, found)

    def _pull(self, wanted: Reference, arch: str, title: str) -> Pulled:
        if before := self._silent.get(wanted.registry):
            raise NoAnswerError(
                f"{title}: {wanted} was not asked for: {wanted.registry} does not answer",
                why=before.why,
                remedy=before.remedy,
            )
        self.say(f"{title}: pulling {wanted}")
        try:
            told = pull(self.api, wanted, arch, engine=self.engine, title=title, say=self.say)
        except NoAnswerError as error:
            self._silent[wanted.registry] = error
            raise
        found = self._inspect(wanted)
        if found is None:
            raise ImageError(f"{title}: {wanted} was pulled, and is not there", remedy="run it again")
        pulled = _pulled(wanted, found)
        return self._compared(replace(pulled, digest=told or pulled.digest), title)

    def _inspect(self, name: Reference | str) -> dict[str, Any] | None:
        """What the engine knows of a local image; None if there is none."""
        with speaking_to(self.engine, f"looking for {name}"):
            try:
                return inspect(self.api, str(name))
            except ImageNotFound:
                return None

    def _compared(self, pulled: Pulled, title: str) -> Pulled:
        before = self.known.get(pulled.reference)
        self.known[pulled.reference] = pulled.digest
        if before is None or before == pulled.digest:
            return pulled
        note = f"{pulled.reference} has moved since the last run, from {before} to {pulled.digest}"
        self.say(f"{title}: {note}")
        return replace(pulled, note=note)

    def _plan(self, distro: Distro, arch: str, packages: tuple[str, ...]) -> ProvisionPlan:
        return provision_plan(
            distro.package_manager,
            packages,
            arch=arch,
            release=distro.target_release,
            ca_bundle=CA_INSIDE if self.network.ca_bundle else "",
            proxies=self.network.proxies,
            archive=distro.archive,
        )

    def _derive(self, distro: Distro, base: Pulled, plan: ProvisionPlan) -> Pulled:
        tag = hashlib.sha256(f"{base.id} {plan.key}".encode()).hexdigest()[:32]
        reference = f"{REPOSITORY}/{distro.id}:{tag}"
        with self.locked(f"derived-{tag}"):
            described = self._inspect(reference) or self._install(distro, base, plan, reference)
        way = unquote(_label(described, WAY))
        return Pulled(
            id=str(described["Id"]),
            digest=_identity(base, described),
            reference=reference,
            note=f"{distro.id}: Python came from {way}" if way else "",
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


def _identity(base: Pulled, described: Mapping[str, Any]) -> str:
    """A derived image by what it was made from and what is in it, so that it is the same elsewhere.

    Its own id has the time of its making in it; that stands in where no packages could be listed.
    """
    packages = _label(described, PACKAGES)
    if not packages:
        return str(described["Id"])
    return "sha256:" + hashlib.sha256(f"{base.digest} {packages}".encode()).hexdigest()


def _label(described: Mapping[str, Any], name: str) -> str:
    return str(((described.get("Config") or {}).get("Labels") or {}).get(name) or "")


def _pulled(wanted: Reference, described: Mapping[str, Any]) -> Pulled:
    digests = [d.partition("@") for d in described.get("RepoDigests") or ()]
    # One image may have several names, each with a digest of its registry's own.
    named = [digest for name, _, digest in digests if name == wanted.repository]
    digest = next(iter([*named, *(digest for _, _, digest in digests), described["Id"]]))
    return Pulled(id=str(described["Id"]), digest=wanted.digest or str(digest), reference=str(wanted))
