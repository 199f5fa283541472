"""Official images from registries, each with Python and pip installed once.

Works through the low-level API of the Docker SDK, which Podman's socket speaks too. What a pull
gives is known by its digest; a derived image is known by that digest and by what was installed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker import APIClient
from docker.errors import DockerException, ImageNotFound

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.derive import CA_INSIDE, derive, inspect, inspect_distribution
from pytest_manylinux.images.provision import ProvisionPlan, provision_plan
from pytest_manylinux.images.references import (
    PLATFORMS,
    Reference,
    parse_reference,
    through_mirror,
)
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, ImageSource, Interpreter

REPOSITORY = "localhost/pytest-manylinux/derived"
"""Where derived images are tagged. `localhost` keeps Podman from looking for a registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the user's own network is reached: proxies, and a file of certificates on the host."""

    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An image as it was pulled: local id, and the digest that the registry knows it by."""

    id: str
    digest: str
    reference: str


@dataclass(kw_only=True)
class RegistryImages:
    """Images by pull and provisioning.

    `pins` are digests by distro id, from a lock file. `known` are digests by reference as the last
    run saw them; a tag that leads elsewhere now is said, and the mapping is brought up to date.
    """

    api: APIClient
    say: Say
    mirrors: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    known: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _pulled: dict[tuple[str, str], Pulled] = field(default_factory=dict, repr=False)

    def provide(
        self,
        distro: Distro,
        arch: str,
        purpose: ImagePurpose,
        extra_packages: tuple[str, ...] = (),
        *,
        interpreter: Interpreter,
    ) -> Image:
        """See `ImageProvider.provide`."""
        with self._lock:
            base = self._base(distro, arch)
            headers = () if purpose is ImagePurpose.TRIAL else (*interpreter.headers, *extra_packages)
            plan = self._plan(distro, (*interpreter.packages, *headers))
            derived = self._derive(distro, base, plan) if plan.commands else base
        return Image(
            digest=derived.digest,
            name=f"{distro.id} ({base.reference}@{base.digest})",
            source=ImageSource.REGISTRY,
            arch=arch,
            reference=derived.id,
        )

    def pull(self, text: str, arch: str, *, title: str) -> Pulled:
        """Pull an image once per run; raises ImageError with the registry's words."""
        wanted = through_mirror(parse_reference(text), self.mirrors)
        key = (str(wanted), arch)
        if key not in self._pulled:
            self._pulled[key] = self._pull(wanted, arch, title)
            self._compare(str(wanted), self._pulled[key].digest, title)
        return self._pulled[key]

    def digest_of(self, text: str, *, title: str) -> str:
        """The digest that a registry has for a name now, without pulling; raises ImageError."""
        wanted = through_mirror(parse_reference(text), self.mirrors)
        try:
            found = inspect_distribution(self.api, str(wanted))
        except (DockerException, OSError) as error:
            words = getattr(error, "explanation", None) or error
            raise _pull_failed(title, wanted, str(words)) from error
        return str(found["Descriptor"]["digest"])

    def _base(self, distro: Distro, arch: str) -> Pulled:
        if distro.image is None:
            raise ImageError(f"the catalogue names no image for {distro.id}")
        text = distro.image
        if distro.id in self.pins:
            text = f"{parse_reference(text).repository}@{self.pins[distro.id]}"
        return self.pull(text, arch, title=distro.id)

    def _pull(self, wanted: Reference, arch: str, title: str) -> Pulled:
        self.say(f"{title}: pulling {wanted}")
        try:
            for event in self.api.pull(
                wanted.repository,
                wanted.digest or wanted.tag,
                stream=True,
                decode=True,
                platform=PLATFORMS[arch],
            ):
                if "error" in event:
                    raise _pull_failed(title, wanted, str(event["error"]))
            return self._inspect(wanted)
        except (DockerException, OSError) as error:
            words = getattr(error, "explanation", None) or error
            raise _pull_failed(title, wanted, str(words)) from error

    def _inspect(self, wanted: Reference) -> Pulled:
        described = inspect(self.api, str(wanted))
        digests = [d.partition("@") for d in described.get("RepoDigests") or ()]
        # One image may have several names, each with a digest of its registry's own.
        named = [digest for name, _, digest in digests if name == wanted.repository]
        digest = next(iter([*named, *(digest for _, _, digest in digests), described["Id"]]))
        return Pulled(
            id=str(described["Id"]), digest=wanted.digest or str(digest), reference=str(wanted)
        )

    def _compare(self, reference: str, digest: str, title: str) -> None:
        before = self.known.get(reference)
        if before is not None and before != digest:
            self.say(f"{title}: {reference} has moved since the last run, from {before} to {digest}")
        self.known[reference] = digest

    def _plan(self, distro: Distro, packages: tuple[str, ...]) -> ProvisionPlan:
        return provision_plan(
            distro.package_manager,
            packages,
            ca_bundle=CA_INSIDE if self.network.ca_bundle else "",
            proxies=self.network.proxies,
        )

    def _derive(self, distro: Distro, base: Pulled, plan: ProvisionPlan) -> Pulled:
        tag = hashlib.sha256(f"{base.id} {plan.key}".encode()).hexdigest()[:32]
        reference = f"{REPOSITORY}/{distro.id}:{tag}"
        try:
            described = inspect(self.api, reference)
        except ImageNotFound:
            self.say(f"{distro.id}: installing Python into the image, once")
            derive(
                self.api, base.id, plan, reference, title=distro.id, ca_bundle=self.network.ca_bundle
            )
            described = inspect(self.api, reference)
        identity = str(described["Id"])
        return Pulled(id=identity, digest=identity, reference=reference)


def _pull_failed(title: str, wanted: Reference, words: str) -> ImageError:
    return ImageError(
        f"{title}: {wanted} could not be pulled",
        why=words,
        remedy="see that the registry answers and that you are logged in, or set registry-mirror; "
        "image-source = archive makes Debian's roots without a registry",
    )
