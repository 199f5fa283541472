"""Official images with Python and pip installed once, whatever fetches and provisions them.

What a registry gives is known by the registry's digest; an image derived from it by that digest and by
what was installed. So one digest means one image, whichever engine ran it.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.failure import NoAnswerError
from pytest_manylinux.images.provision import CA_INSIDE, Network, ProvisionPlan, provision_plan
from pytest_manylinux.images.references import Reference, parse_reference, through_mirror
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, ImageSource, Interpreter

Locked = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An image as it was pulled: what it is called here, and the digest that the registry knows it by.

    `id` is a container engine's id for it, or the key of its root in the store; `root` is that root's
    folder, for engines that want one, and `environment` the image's own then. `note` tells of a tag
    that has moved since the last run, or of packages that came from elsewhere than the image's own
    sources; else it is empty.
    """

    id: str
    digest: str
    reference: str
    note: str = ""
    root: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    source: ImageSource = ImageSource.REGISTRY

    def image(self, name: str, arch: str, *, base: str = "", note: str = "") -> Image:
        """As engines take it."""
        return Image(
            digest=self.digest,
            name=name,
            source=self.source,
            arch=arch,
            root=self.root or None,
            reference=None if self.root else self.id,
            note=note,
            base=base,
            environment=self.environment,
        )


class _Locks:
    """A lock a name, for the threads of this process."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}

    def __call__(self, name: str) -> threading.Lock:
        return self._locks.setdefault(name, threading.Lock())


@dataclass(kw_only=True)
class OfficialImages(ABC):
    """Images by pull and provisioning. Safe to call from several threads.

    `engine` is what runs them. `pins` are digests by distro id, from a lock file. `known` are digests
    by reference as the last run saw them; a tag that leads elsewhere now is said, and the mapping is
    brought up to date. `locked` gives a lock by name under which one image is made once; a lock that
    other processes see too has it made once by all of them.
    """

    say: Say
    engine: str
    mirrors: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    known: dict[str, str] = field(default_factory=dict)
    locked: Locked = field(default_factory=_Locks, repr=False)
    _asking: _Locks = field(default_factory=_Locks, repr=False)
    _pulled: dict[tuple[str, str], Pulled] = field(default_factory=dict, repr=False)
    _silent: dict[str, NoAnswerError] = field(default_factory=dict, repr=False)

    @abstractmethod
    def _local(self, wanted: Reference, arch: str) -> Pulled | None:
        """An image that is known by its digest and was pulled before: it cannot have changed."""

    @abstractmethod
    def _fetched(self, wanted: Reference, arch: str, title: str) -> Pulled:
        """Pull it now; raises ImageError, NoAnswerError."""

    @abstractmethod
    def _without_registry(self, text: str, arch: str) -> Pulled | None:
        """What of that name is here though no registry gave it now."""

    @abstractmethod
    def _digest_of(self, wanted: Reference, arch: str, title: str) -> str:
        """The digest that the registry has for a name now; raises ImageError."""

    @abstractmethod
    def _derive(self, distro: Distro, arch: str, base: Pulled, plan: ProvisionPlan) -> Pulled:
        """The image that a plan makes of `base`, made once; raises ImageError."""

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
        derived = self._derive(distro, arch, base, plan) if plan.commands else base
        return derived.image(
            f"{distro.id} ({base.reference.partition('@')[0]}@{base.digest})",
            arch,
            base=base.digest,
            note="; ".join(dict.fromkeys(filter(None, (base.note, derived.note)))),
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
            found = self._without_registry(text, arch)
            if found is None:
                raise
            self.say(f"{title}: using the image that {self.engine} has: {error.what}: {error.why}")
            return found

    def digest_of(self, text: str, arch: str, *, title: str) -> str:
        """The digest that a registry has for a name now; raises ImageError."""
        wanted = through_mirror(parse_reference(text), self.mirrors)
        return self._digest_of(wanted, arch, title)

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

    def _pull(self, wanted: Reference, arch: str, title: str) -> Pulled:
        if before := self._silent.get(wanted.registry):
            raise NoAnswerError(
                f"{title}: {wanted} was not asked for: {wanted.registry} does not answer",
                why=before.why,
                remedy=before.remedy,
            )
        self.say(f"{title}: pulling {wanted}")
        try:
            pulled = self._fetched(wanted, arch, title)
        except NoAnswerError as error:
            self._silent[wanted.registry] = error
            raise
        return self._compared(pulled, title)

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


def derived_digest(base: Pulled, plan: ProvisionPlan, packages: str) -> str:
    """A derived image by what it was made from and what is in it, so that it is the same elsewhere.

    `packages` is a digest of its packages with their versions. Where none could be listed and it is
    empty, the plan stands in: what was asked for, whichever engine installed it.
    """
    return "sha256:" + hashlib.sha256(f"{base.digest} {packages or plan.key}".encode()).hexdigest()


def derived_note(distro: Distro, way: str) -> str:
    """Words for packages that came from elsewhere than the image's own sources; empty for those."""
    return f"{distro.id}: Python came from {way}" if way else ""
