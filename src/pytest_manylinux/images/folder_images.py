"""Official images for an engine that wants them as folders: no daemon, no root's rights, no container.

skopeo fetches, bsdtar unpacks (`unpack_inside.py`), and the row's package manager runs in a folder
that is laid over the root (`root_provision.py`), or in a copy of it where the kernel has no overlays
for users. Layers are kept once, by digest; what a derived root has in common with the one below it is
one file with two names.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from pytest_manylinux.cache.integrity import content_of, seal_links
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.images.layers import LAYERS, forget_layers, pin_layers, sha256_of
from pytest_manylinux.images.official_images import (
    OfficialImages,
    Pulled,
    derived_digest,
    derived_note,
)
from pytest_manylinux.images.provision import ProvisionPlan, install, packages_digest
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.references import Reference, parse_reference, through_mirror
from pytest_manylinux.images.root_provision import Provisioning, resolving
from pytest_manylinux.images.skopeo import Fetched, Skopeo, digest_of, of_platform
from pytest_manylinux.images.store import ImageRecord, ImageStore, StoredImage
from pytest_manylinux.images.unpack import (
    copy_root,
    lay_over,
    share_files,
    take_rights,
    unpack,
)
from pytest_manylinux.images.user_namespace import laid_out, overlays_work
from pytest_manylinux.model.distro import Distro, ImageSource, image_file

_ATTEMPTS = 3
"""Times that layers are fetched which went bad in the cache, or which another run removed just then."""


@dataclass(kw_only=True)
class FolderImages(OfficialImages):
    """See `OfficialImages`; roots are kept in `store`."""

    store: ImageStore
    engine: str = "bubblewrap"
    _skopeo: Skopeo = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._skopeo = Skopeo(blobs=self.store.root / LAYERS, say=self.say, network=self.network)

    def _base(self, distro: Distro, arch: str) -> Pulled:
        found = image_file(distro.image)
        if found is None:
            return super()._base(distro, arch)
        return self.of_file(*found, arch, title=distro.id)

    def of_file(self, kind: str, path: str, arch: str, *, title: str) -> Pulled:
        """The image that a file or folder of this machine holds; known by a digest of its content.

        `kind` is one of IMAGE_FILES, `title` what progress and errors call it. Raises ImageError and
        StoreError.
        """
        source, place = f"{kind}:{path}", Path(path)
        if kind == "tarball" or (kind == "dir" and not (place / "manifest.json").exists()):
            key = digest = self._digest_of_root(title, place)
            stored = self._of_root(key, arch, title, place)
        else:
            content = self._skopeo.manifest(source, title=title, name=source)
            digest, (key, _) = digest_of(content), of_platform(content, arch)
            stored = self._stored(key or digest, arch, title, source=source, name=source)
        return replace(_pulled(stored, digest, source), source=ImageSource.LOCAL)

    @staticmethod
    def _digest_of_root(title: str, place: Path) -> str:
        try:
            if place.is_dir() and not (place / "usr").is_dir():
                raise ImageError(
                    f"{title}: {place} is not the root of a system", why="it has no folder usr"
                )
            return f"sha256:{content_of(place) if place.is_dir() else sha256_of(place)}"
        except OSError as error:
            raise ImageError(
                f"{title}: {place} cannot be read", why=error.strerror or str(error)
            ) from error

    def _of_root(self, key: str, arch: str, title: str, place: Path) -> StoredImage:
        """A root as it is: a tar archive of one, or its folder."""
        with self.locked(f"root-{key.partition(':')[2]}-{arch}"):
            found = self.store.take(arch, key)
            if found is not None:
                return found
            self.say(f"{title}: taking {place}")
            started = time.monotonic()
            self.store.sweep()
            with self.store.aside() as folder:
                root = folder / "root"
                if place.is_dir():
                    copy_root(place, root, store=self.store.root)
                    size = take_rights(root, store=self.store.root, title=title)
                else:
                    size = unpack((place,), root, store=self.store.root, title=title)
                record = msgspec.structs.replace(_record(key, title, arch, started), size=size)
                return self.store.keep(folder, record)

    def _local(self, wanted: Reference, arch: str) -> Pulled | None:
        return self._kept(wanted, wanted.digest, arch) if wanted.digest else None

    def _without_registry(self, text: str, arch: str) -> Pulled | None:
        wanted = through_mirror(parse_reference(text), self.mirrors)
        return self._kept(wanted, self.known.get(str(wanted), ""), arch)

    def _digest_of(self, wanted: Reference, arch: str, title: str) -> str:
        del arch
        return digest_of(self._skopeo.manifest(f"docker://{wanted}", title=title, name=str(wanted)))

    def _kept(self, wanted: Reference, digest: str, arch: str) -> Pulled | None:
        """The image that was fetched by this digest before, if its root is still here."""
        content = self._skopeo.kept(digest) if digest else None
        stored = self.store.take(arch, of_platform(content, arch)[0]) if content else None
        return None if stored is None else _pulled(stored, digest, str(wanted))

    def _fetched(self, wanted: Reference, arch: str, title: str) -> Pulled:
        source = f"docker://{wanted}"
        content = self._skopeo.manifest(source, title=title, name=str(wanted))
        digest = digest_of(content)
        if wanted.digest and wanted.digest != digest:
            raise ImageError(f"{title}: {wanted} could not be pulled", why=f"what came is {digest}")
        key, size = of_platform(content, arch)
        if not key:
            raise ImageError(
                f"{title}: {wanted} has no image for {arch}",
                why="its list of images names none",
                remedy="choose another architecture or image",
            )
        self._skopeo.keep(content)
        source = f"docker://{wanted.repository}@{key}"  # what the tag meant a moment ago
        stored = self._stored(key, arch, title, source=source, name=str(wanted), size=size)
        return _pulled(stored, digest, str(wanted))

    def _stored(
        self, key: str, arch: str, title: str, *, source: str, name: str, size: int = 0
    ) -> StoredImage:
        """The root of an image, fetched and unpacked once for all runs."""
        with self.locked(f"root-{key.partition(':')[2]}-{arch}"):
            found = self.store.take(arch, key)
            if found is not None:
                return found
            started = time.monotonic()
            self.store.sweep()
            with self.store.aside() as folder:
                fetched = self._layers(source, arch, folder, title=title, name=name, size=size)
                disk = unpack(fetched.layers, folder / "root", store=self.store.root, title=title)
                for layer in fetched.layers:
                    layer.unlink()
                (folder / "log").write_text(f"{name}\n", "utf-8")
                record = msgspec.structs.replace(
                    _record(key, title, arch, started), size=disk, environment=fetched.environment
                )
                stored = self.store.keep(folder, record)
            forget_layers(self.store.root / LAYERS)
            return stored

    def _layers(
        self, source: str, arch: str, folder: Path, *, title: str, name: str, size: int
    ) -> Fetched:
        """The layers, whole; one that went bad in the cache is fetched once more."""
        for attempt in range(_ATTEMPTS):
            layout, began = folder / f"layout{attempt}", time.time_ns()
            layout.mkdir()
            fetched = self._skopeo.fetch(source, arch, layout, title=title, name=name, size=size)
            shutil.rmtree(layout)
            pinned = pin_layers(fetched.layers, folder, since=began)
            if pinned:
                return replace(fetched, layers=pinned)
        raise StoreError(
            f"{title}: the layers of {name} do not stay whole in {self.store.root / LAYERS}",
            remedy="see what the disk says, then run it again",
        )

    def _derive(self, distro: Distro, arch: str, base: Pulled, plan: ProvisionPlan) -> Pulled:
        key = "sha256:" + hashlib.sha256(f"{base.id} {plan.key}".encode()).hexdigest()
        with self.locked(f"derived-{key.partition(':')[2][:32]}"):
            stored = self.store.take(arch, key) or self._install(distro, arch, base, plan, key)
        record = stored.record
        return Pulled(
            id=key,
            digest=derived_digest(base, plan, record.contents),
            reference=base.reference,
            source=base.source,
            note=derived_note(distro, record.way),
            root=str(stored.folder / "root"),
            environment=base.environment,
        )

    def _install(
        self, distro: Distro, arch: str, base: Pulled, plan: ProvisionPlan, key: str
    ) -> StoredImage:
        self.say(f"{distro.id}: installing Python into the image, once")
        started = time.monotonic()
        self.store.sweep()
        with self.store.aside() as folder:
            root, below = folder / "root", Path(base.root)
            overlay = laid_out(folder / "overlay", below)
            if overlays_work(overlay):
                way, contents = self._provision(distro, below, folder, base, plan, overlay=overlay)
                size = lay_over(overlay, root, store=self.store.root, title=distro.id)
            else:
                copied = copy_root(below, root, store=self.store.root)
                way, contents = self._provision(distro, root, folder, base, plan)
                take_rights(root, store=self.store.root, title=distro.id)
                size = share_files(root, below, unchanged_since=copied)
            shutil.rmtree(overlay)
            seal_links(below.parent)
            record = msgspec.structs.replace(
                _record(key, distro.id, arch, started), size=size, contents=contents, way=way
            )
            return self.store.keep(folder, record)

    def _provision(
        self,
        distro: Distro,
        root: Path,
        folder: Path,
        base: Pulled,
        plan: ProvisionPlan,
        *,
        overlay: Path | None = None,
    ) -> tuple[str, str]:
        """Where packages came from if not from the image's own sources, and a digest of all of them.

        With `overlay`, what is installed goes there and not into `root`.
        """
        provisioning = Provisioning(
            root=overlay / "merged" if overlay else root,
            overlay=overlay,
            scratch=folder / "overlay" / "scratch",
            plan=plan,
            network=self.network,
            environment=base.environment,
            title=distro.id,
        )
        upper = overlay / "upper" if overlay else None
        with (folder / "log").open("wb") as log, resolving(root, upper):
            way = install(plan, lambda command: provisioning.run(command, log), distro.id, self.say)
            contents = packages_digest(plan, lambda command: provisioning.run(command, log))
        return way, contents


def _pulled(stored: StoredImage, digest: str, reference: str) -> Pulled:
    return Pulled(
        id=stored.record.digest,
        digest=digest,
        reference=reference,
        root=str(stored.folder / "root"),
        environment=stored.record.environment,
    )


def _record(key: str, title: str, arch: str, started: float) -> ImageRecord:
    return ImageRecord(
        digest=key,
        name=title,
        arch=arch,
        recipe=Recipe(distro=title, suite="", arch=arch, packages=()),
        packages=(),
        made=datetime.now(tz=timezone.utc),
        size=0,
        seconds=round(time.monotonic() - started, 1),
        origin="registry",
    )
