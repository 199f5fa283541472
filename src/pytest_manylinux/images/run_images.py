"""Where a distro's image comes from: a registry, an archive, or whichever of them answers."""

from __future__ import annotations

import contextlib
import http.client
import queue
import shutil
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.cache.locks import once_per_run
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import EngineError, ImageError, ReportError
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.images.api import ImageProvider, Say
from pytest_manylinux.images.debian_archive import ArchiveImages
from pytest_manylinux.images.folder_images import FolderImages
from pytest_manylinux.images.layers import LAYERS, forget_layers
from pytest_manylinux.images.official_images import OfficialImages
from pytest_manylinux.images.provision import Network
from pytest_manylinux.images.references import (
    API_HOSTS,
    LOOPBACK,
    parse_mirrors,
    parse_reference,
    through_mirror,
)
from pytest_manylinux.images.skopeo import PROGRAM
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.images.unpack import UNPACKER
from pytest_manylinux.indexes import host_certificates, host_proxies
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, Interpreter, image_file


@dataclass(frozen=True, kw_only=True)
class ImageSources:
    """Images as the setting `image-source` wants them.

    `registry` is None where none can be asked. With `auto` an official image is pulled where it
    can be, and else made from the archive where the catalogue knows how; the image's own `source`
    says which it was, and its `note` why. `pinned` distros (by id) come as they are pinned or not at
    all. `files` are for images that are files of this machine. `without` says why `registry` is None.
    """

    archive: ImageProvider
    registry: ImageProvider | None
    choice: str
    say: Say
    files: ImageProvider | None = None
    without: str = ""
    pinned: Collection[str] = ()
    _told: set[str] = field(default_factory=set, repr=False)

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
        first, second = self._order(distro, arch)
        try:
            return first.provide(distro, arch, purpose, extra_packages, interpreter=interpreter)
        except ImageError as error:
            if second is None:
                raise
            reason = error
        note = f"not the official image, but a root from the archive: {reason.why or reason.what}"
        if distro.id not in self._told:
            self._told.add(distro.id)
            self.say(f"{distro.id}: {note}")
        try:
            image = second.provide(distro, arch, purpose, extra_packages, interpreter=interpreter)
        except ImageError as error:
            why = f"{error.why} (and before: {reason.what}: {reason.why})"
            raise ImageError(error.what, why=why, remedy=error.remedy) from reason
        return replace(image, note="; ".join(filter(None, (note, image.note))))

    def _order(self, distro: Distro, arch: str) -> tuple[ImageProvider, ImageProvider | None]:
        """The source to ask, and the one to ask if that fails."""
        if self.files is not None and image_file(distro.image) is not None:
            return self.files, None
        if self.choice == "archive" or self.registry is None:
            if not distro.has_archive(arch) and distro.has_image(arch) and self.without:
                raise ImageError(
                    f"{distro.id}: its image comes from a registry, and none is used",
                    why=self.without,
                    remedy="`pytest-manylinux doctor` asks the registries; image-source = registry "
                    "takes images from them whatever that says",
                )
            return self.archive, None
        if not distro.has_image(arch) and self.choice != "registry":
            return self.archive, None
        may_differ = self.choice == "auto" and distro.id not in self.pinned
        return self.registry, self.archive if may_differ and distro.has_archive(arch) else None


TAGS = "registry-tags.json"
"""In the cache folder: which digest each reference led to when a run last pulled it."""

_CONTAINERS = frozenset({"docker", "podman"})  # engines that pull by themselves
_TOOLS = (PROGRAM, UNPACKER)
ANSWER_WITHIN = 2.0
"""Seconds that a registry has for its answer before a run goes on without."""


class RunImages:
    """A run's provider of images. `registry` is None where distros' images are from no registry.

    `builders` is where builder images are from, whatever `image-source` says of distros, and `of_file`
    takes those that are files of this machine. `pins` are digests by distro id; they bind images of
    registries only.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        store: ImageStore,
        pins: Mapping[str, str],
        say: Say,
    ) -> None:
        self._tags = store.root / TAGS
        self._layers = store.root / LAYERS
        self._known = read_tags(self._tags)
        mirrors = parse_mirrors(settings.registry_mirror)
        self.builders = registry_of(engine, store, mirrors=mirrors, say=say)
        self.builders.pins = pins
        self.builders.known = dict(self._known)
        without = no_registry(engine.name, settings)
        self.registry = None if without else self.builders
        files = _folder_images(store, mirrors=mirrors, say=say)
        self.of_file = files.of_file
        self.sources = ImageSources(
            archive=ArchiveImages(store, say=say),
            registry=self.registry,
            choice=settings.image_source,
            say=say,
            files=files,
            without=without,
            pinned=pins,
        )

    def close(self) -> None:
        """Keep what tags led to, for the next run, and of the layers those that several images share.

        A cache that cannot be written keeps nothing.
        """
        forget_layers(self._layers, shared_only=True)
        if self.builders.known == self._known:
            return
        news = {k: v for k, v in self.builders.known.items() if self._known.get(k) != v}
        content = msgspec.json.encode({**read_tags(self._tags), **news}, order="sorted")
        with contextlib.suppress(ReportError):
            write_atomically(self._tags, msgspec.json.format(content, indent=1) + b"\n")


def read_tags(path: Path) -> dict[str, str]:
    """Digests by reference; empty if there is no such file or it is damaged."""
    try:
        return decode_json(path.read_bytes(), dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def uses_registries(engine: str, settings: Settings, *, shared: Path | None = None) -> bool:
    """Whether images may come from registries, and so whether pins bind; see `no_registry`."""
    return not no_registry(engine, settings, shared=shared)


def no_registry(engine: str, settings: Settings, *, shared: Path | None = None) -> str:
    """Why images come from no registry; empty if they do.

    bubblewrap works without any, so with `auto` it takes images from registries only where its tools
    are here and the registry of most images answers. That is asked once, for at most ANSWER_WITHIN
    seconds, by all processes together that have the folder `shared`.
    """
    if settings.image_source == "archive":
        return "image-source is archive"
    if engine in _CONTAINERS or settings.image_source == "registry":
        return ""
    if missing := [name for name in _TOOLS if shutil.which(name) is None]:
        return f"{' and '.join(missing)} missing: {install_command(missing[0])}"
    mirrors = parse_mirrors(settings.registry_mirror)
    return _silence(through_mirror(parse_reference("debian"), mirrors).registry, shared)


def _silence(registry: str, shared: Path | None) -> str:
    with _ASKING:
        if registry not in _ANSWERS:
            _ANSWERS[registry] = once_per_run(
                shared, ("registry", registry), lambda: why_silent(registry)
            )
        return _ANSWERS[registry]


_ASKING = threading.Lock()
_ANSWERS: dict[str, str] = {}


def why_silent(registry: str, *, within: float = ANSWER_WITHIN) -> str:
    """Why a registry does not answer now; empty if it does, even if only to want a login.

    The thread that asks is not waited for: looking up a name may take its time, whatever is set.
    """
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answer.put(_ask(registry, within)), name="manylinux-registry", daemon=True
    ).start()
    try:
        words = answer.get(timeout=within)
    except queue.Empty:
        words = _late(within)
    return f"the registry {registry} does not answer: {words}" if words else ""


def _ask(registry: str, within: float) -> str:
    host = API_HOSTS.get(registry, registry)
    near = urlsplit(f"//{host}").hostname in LOOPBACK
    bundle = host_certificates()
    context = ssl.create_default_context(cafile=None if bundle is None else str(bundle))
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if near:  # which skopeo asks without a proxy, whatever the environment says (Go's net/http)
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    try:
        opener.open(f"{'http' if near else 'https'}://{host}/v2/", timeout=within).close()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return _late(within)
        # Something is there; what skopeo makes of it depends on its own settings.
        return (
            "" if isinstance(reason, ssl.SSLError) else str(getattr(reason, "strerror", "") or reason)
        )
    return ""


def _late(within: float) -> str:
    return f"not within {within:g} s"


def registry_of(
    engine: Engine, store: ImageStore, *, mirrors: Mapping[str, str], say: Say
) -> OfficialImages:
    """Images of registries for an engine, by the machine's proxies and certificates.

    A container engine fetches them itself; for bubblewrap skopeo does.
    """
    if engine.name not in _CONTAINERS:
        return _folder_images(store, mirrors=mirrors, say=say)
    from pytest_manylinux.engines.container.engine import ContainerEngine  # noqa: PLC0415 - bubblewrap needs no SDK
    from pytest_manylinux.images.registry import RegistryImages  # noqa: PLC0415 - the same

    if not isinstance(engine, ContainerEngine):
        raise EngineError(f"the engine {engine.name} has no registries")
    return RegistryImages(
        api=engine.api,
        engine=engine.name,
        say=say,
        mirrors=mirrors,
        network=_network(),
        locked=_locks_of(store, say),
    )


def _folder_images(store: ImageStore, *, mirrors: Mapping[str, str], say: Say) -> FolderImages:
    return FolderImages(
        store=store, say=say, mirrors=mirrors, network=_network(), locked=_locks_of(store, say)
    )


def _network() -> Network:
    return Network(proxies=host_proxies(), ca_bundle=host_certificates())


def _locks_of(store: ImageStore, say: Say) -> Callable[[str], AbstractContextManager[None]]:
    return lambda name: store.locked(name, waiting=lambda words: say(f"{name}: {words}"))
