"""Official images through a container engine's API: pulled, and provisioned in a container.

Works through the low-level API of the Docker SDK, which Podman's socket speaks too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from docker import APIClient
from docker.errors import APIError, ImageNotFound

from pytest_manylinux.engines.container.connection import speaking_to
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.derive import PACKAGES, WAY, derive, inspect, inspect_distribution
from pytest_manylinux.images.failure import pull_failed
from pytest_manylinux.images.official_images import OfficialImages, Pulled, derived_digest, derived_note
from pytest_manylinux.images.provision import ProvisionPlan
from pytest_manylinux.images.pull import pull
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
