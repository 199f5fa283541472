"""The store of images: content-addressed folders that several runs share.

    images/<architecture>/<digest>/root, image.json, log     finished images, never written again
    recipes/<key>                                             which digest a recipe came out as
    aside/<random>, aside/<random>.lock                       unfinished work of runs that live
    locks/, runs.lock                                         who waits for whom; who is at work
    apt/                                                      package lists and downloads

A finished image appears by one rename. A run holds the images that it uses (a shared lock on
image.json, which the kernel drops with the process), and only images that nobody holds are removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from pytest_manylinux.cache.atomic import write_whole
from pytest_manylinux.cache.directories import (
    aside_folder,
    put_in_place,
    remove_tree,
    sweep,
    writing_out,
)
from pytest_manylinux.cache.integrity import is_sealed, is_whole, seal_folder
from pytest_manylinux.cache.locks import hold_alone, hold_shared, in_turn
from pytest_manylinux.cache.paths import cache_root, store_errors
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import StoreError
from pytest_manylinux.host.containment import contained
from pytest_manylinux.host.subprocesses import reason_of
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import words_of
from pytest_manylinux.images.dpkg import Packages, changed_files, identity, installed_packages
from pytest_manylinux.images.recipe import FORMAT, Recipe
from pytest_manylinux.model.distro import ArchiveWay, Image, ImageSource

_RECORD = "image.json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What image.json holds. `made` is UTC; `size` in bytes, `seconds` what the making took.

    `lacking` is what the archive did not have for the ways before the recipe's own. An image of a
    registry has as `digest` the key of its root, no packages, and a recipe that names its distro; for
    one that was derived `contents` is a digest of its packages, and `way` words for where they came
    from if that was not its own sources. `environment` is what its registry says programs in it have.
    """

    digest: str
    name: str
    arch: str
    recipe: Recipe
    packages: Packages
    made: datetime
    size: int
    seconds: float
    lacking: str = ""
    origin: str = ImageSource.ARCHIVE.value
    contents: str = ""
    way: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """A finished image in the store. `used` is when a run last took it (UTC)."""

    folder: Path
    record: ImageRecord
    used: datetime

    @property
    def image(self) -> Image:
        """The image as engines take it."""
        return Image(
            digest=self.record.digest,
            name=self.record.name,
            source=ImageSource.ARCHIVE,
            arch=self.record.arch,
            root=str(self.folder / "root"),
            packages=self.record.packages,
        )


class ImageStore:
    """The images below `root`.

    By default that is the user's cache folder (platformdirs), or what the environment's
    PYTEST_MANYLINUX_CACHE names.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = cache_root() if root is None else root
        self._held: dict[Path, int] = {}

    def find(self, recipe: Recipe) -> Image | None:
        """The image that a recipe came out as, now held by this process; None if there is none.

        Its `note` tells of a way that is not the first one for every root, and why it was taken.
        """
        with store_errors(self.root):
            index = self._index(recipe)
            if not index.is_file():
                return None
            digest = index.read_text("ascii", errors="replace").strip()
            stored = self.take(recipe.arch, digest) if _DIGEST.fullmatch(digest) else None
            return None if stored is None else replace(stored.image, note=_note(recipe, stored.record))

    def take(self, arch: str, digest: str) -> StoredImage | None:
        """The image with this digest, now held by this process; None if it is not here."""
        with store_errors(self.root):
            stored = self.read(self._folder(arch, digest))
            if stored is None or not self._hold(stored.folder):
                return None
            if not is_sound(stored):
                os.close(self._held.pop(stored.folder))
                return None
            _touch(stored.folder)
            return stored

    def adopt(
        self, aside: Path, recipe: Recipe, *, name: str, seconds: float, lacking: str = ""
    ) -> Image:
        """Take a finished root (`aside`/root, `aside`/log) into the store, and hold it.

        A root with the same packages may be there already: then that one stays.
        """
        with store_errors(self.root), writing_out(aside):
            packages = installed_packages(aside / "root")
            record = ImageRecord(
                digest=identity(recipe.arch, packages),
                name=name,
                arch=recipe.arch,
                recipe=recipe,
                packages=packages,
                made=datetime.now(tz=timezone.utc),
                size=folder_size(aside / "root"),
                seconds=round(seconds, 1),
                lacking=lacking,
            )
            folder = self._place(aside, record)
            index = self._index(recipe)
            index.parent.mkdir(parents=True, exist_ok=True)
            write_whole(index, record.digest.encode("ascii"))
        found = self.find(recipe)
        if found is None:
            raise StoreError(f"{folder} is damaged", remedy="pytest-manylinux cache prune --all")
        return found

    def keep(self, aside: Path, record: ImageRecord) -> StoredImage:
        """Take a finished root that no recipe of an archive leads to into the store, and hold it."""
        with store_errors(self.root):
            folder = self._place(aside, record)
        found = self.take(record.arch, record.digest)
        if found is None:
            raise StoreError(f"{folder} is damaged", remedy="pytest-manylinux cache prune --all")
        return found

    def _place(self, aside: Path, record: ImageRecord) -> Path:
        """Put a finished root where its digest says, unless a sound one is there already."""
        folder = self._folder(record.arch, record.digest)
        self._clear(folder)
        if not folder.exists():
            (aside / _RECORD).write_bytes(msgspec.json.encode(record))
            put_in_place(aside, folder)
        return folder

    def release(self) -> None:
        """Hold no image any more; the end of the process does the same."""
        while self._held:
            os.close(self._held.popitem()[1])

    def images(self) -> tuple[StoredImage, ...]:
        """Every finished image, the most recently used first."""
        with store_errors(self.root):
            folders = sorted(self.root.glob("images/*/*"))
            stored = [image for folder in folders if (image := self.read(folder)) is not None]
        return tuple(sorted(stored, key=lambda image: image.used, reverse=True))

    def remove(self, stored: StoredImage) -> bool:
        """Remove an image; False if a run uses it. Recipes that led to it are forgotten."""
        with store_errors(self.root), self.aside() as aside:
            held = hold_alone(stored.folder / _RECORD)
            if held is None:
                return False
            try:
                stored.folder.rename(aside / "image")
            finally:
                os.close(held)
            for index in self.root.glob("recipes/*"):
                if index.read_text("ascii", errors="replace").strip() == stored.record.digest:
                    index.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def making(self, recipe: Recipe, *, waiting: Say) -> Iterator[None]:
        """Be the only one who makes a recipe; `waiting` is called if another one is at it."""
        with self.locked(f"recipe-{recipe.key}", waiting=waiting):
            self.sweep()
            yield

    @contextlib.contextmanager
    def locked(self, name: str, *, waiting: Say) -> Iterator[None]:
        """Hold a named lock of the store, which is dropped at the end or with the process."""
        with store_errors(self.root):
            folder = self.root / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            stack = contextlib.ExitStack()
            stack.enter_context(
                in_turn(
                    folder / f"{name}.lock",
                    waiting=lambda: waiting("waiting for another run that makes the same"),
                )
            )
        with stack:
            yield

    def sweep(self) -> None:
        """Remove what dead runs left half-made."""
        with store_errors(self.root):
            sweep(self.root / "aside")

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """A folder for unfinished work, on the store's own file system; removed at the end."""
        with store_errors(self.root), aside_folder(self.root / "aside") as folder:
            yield folder

    def apt_cache(self, suite: str, arch: str) -> Path:
        """The folder that keeps package lists and downloaded packages of a suite."""
        return self.root / "apt" / f"{suite}-{arch}"

    @property
    def runs_lock(self) -> Path:
        """The file that every process using the store holds shared."""
        return self.root / "runs.lock"

    def _folder(self, arch: str, digest: str) -> Path:
        return self.root / "images" / arch / digest.removeprefix("sha256:")

    def _index(self, recipe: Recipe) -> Path:
        return self.root / "recipes" / recipe.key

    def read(self, folder: Path) -> StoredImage | None:
        """The finished image in a folder; None if its record cannot be read."""
        try:
            record = decode_json((folder / _RECORD).read_bytes(), ImageRecord)
            used = (folder / "used" if (folder / "used").exists() else folder / _RECORD).stat()
        except (OSError, msgspec.MsgspecError):
            return None
        when = datetime.fromtimestamp(used.st_mtime, tz=timezone.utc)
        return StoredImage(folder=folder, record=record, used=when)

    def _hold(self, folder: Path) -> bool:
        if folder not in self._held:
            held = hold_shared(folder / _RECORD)
            if held is None:
                return False
            self._held[folder] = held
        self._hold_run()
        return True

    def _hold_run(self) -> None:
        """Say that a run is under way; where the store cannot be written, nobody can prune it."""
        if self.runs_lock not in self._held:
            with contextlib.suppress(OSError):
                self.runs_lock.touch()
                held = hold_shared(self.runs_lock)
                if held is not None:
                    self._held[self.runs_lock] = held

    def _clear(self, folder: Path) -> None:
        """Make room for a sound image where a damaged one, or one of an older format, stands."""
        stored = self.read(folder)
        sound = stored is not None and is_sound(stored) and stored.record.format == FORMAT
        if folder.exists() and not sound and folder not in self._held:
            remove_tree(folder)


def is_sound(stored: StoredImage) -> bool:
    """Whether the root's own package list gives the digest, and nothing was changed since its making.

    Of an image of a registry only the second is asked. An image of a release that made no seals is
    compared with the packages' checksums, and sealed.
    """
    if stored.record.origin != ImageSource.ARCHIVE.value:
        return is_whole(stored.folder)
    try:
        packages = installed_packages(stored.folder / "root")
    except StoreError:
        return False
    if identity(stored.record.arch, packages) != stored.record.digest:
        return False
    if not is_sealed(stored.folder) and not any(changed_files(stored.folder / "root")):
        with contextlib.suppress(OSError):
            seal_folder(stored.folder)
            return True
    return is_whole(stored.folder)


def _note(recipe: Recipe, record: ImageRecord) -> str:
    """How a root was made, where that was not from all suites.

    Two recipes may come out as one image: what was lacking is then told of the one that made it.
    """
    if recipe.way is ArchiveWay.ALL_SUITES:
        return ""
    note = f"{recipe.distro}: the root is made from {words_of(recipe.way)}"
    lacking = record.lacking if record.recipe.way is recipe.way else ""
    return f"{note}; lacking was {lacking}" if lacking else note


def _touch(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / "used").touch()


def folder_size(root: Path) -> int:
    """Bytes on disk of a folder, each file once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{folder}/{name}")  # a Path for each is two thirds of the time
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


# tar keeps below the folder that it is told: it takes leading slashes off and refuses `..`.
_UNPACK = (
    "tar --extract --numeric-owner --same-owner --same-permissions --file=- --directory=root && "
    '{ [ -z "$PM_OWN" ] || chown --no-dereference --recursive 0:0 root; }'
)
_KEPT = 2000  # characters of what tar said


def receive(
    store: ImageStore, digest: str, recipe: Recipe, name: str, stream: Callable[[], Iterable[bytes]]
) -> Image:
    """Give the image with this digest, held: the store's own, or else what `stream` brings.

    It is brought once, however many ask. Raises StoreError if something else comes, and what `stream`
    raises.
    """
    with store.making(recipe, waiting=lambda _: None):
        found = store.take(recipe.arch, digest)
        if found is not None:
            return found.image
        started = time.monotonic()
        with store.aside() as folder:
            (folder / "root").mkdir()
            (folder / "log").write_text(f"received as {digest}\n", "utf-8")
            _unpack(folder, stream())
            came = identity(recipe.arch, installed_packages(folder / "root"))
            if came != digest:
                raise StoreError(
                    f"{name}: another root was received than the one that was asked for",
                    why=f"{came} instead of {digest}",
                )
            return store.adopt(folder, recipe, name=name, seconds=time.monotonic() - started)


def _unpack(folder: Path, chunks: Iterable[bytes]) -> None:
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(
            contained(("sh", "-c", _UNPACK)),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "PM_OWN": _own()},
            start_new_session=True,
        ) as process,
    ):
        try:
            _feed(process, iter(chunks))
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        words = (folder / "log").read_text("utf-8", errors="replace")[-_KEPT:]
        raise StoreError(
            "a root that was received could not be unpacked", why=reason_of(process.returncode, words)
        )


def _feed(process: subprocess.Popen[bytes], chunks: Iterator[bytes]) -> None:
    """Write all chunks; if tar ends early it says why, and the rest is not wanted."""
    if process.stdin is None:
        return
    for chunk in chunks:
        try:
            process.stdin.write(chunk)
        except BrokenPipeError:
            return


def _own() -> str:
    return "" if os.geteuid() == 0 else "1"
