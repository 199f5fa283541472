"""The part of the cache that is worth carrying to another machine, in one file: tar in Zstandard.

Roots and Pythons take minutes to make and are the same on every machine, so that a CI system keeps
them between runs; so do the small files that recall what was seen of an image or a wheel. What is made
again in seconds (environments, downloads, compilers' caches) stays behind.

Seals are not in it: they are made again where it is imported, once the content is known to be right.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pytest_manylinux.cache.directories import put_in_place
from pytest_manylinux.cache.integrity import NAME as SEAL
from pytest_manylinux.cache.paths import room_errors, store_errors
from pytest_manylinux.errors import StoreError, UsageError
from pytest_manylinux.host.containment import contained
from pytest_manylinux.host.subprocesses import reason_of
from pytest_manylinux.images.dpkg import changed_files, identity, installed_packages
from pytest_manylinux.images.store import ImageRecord, ImageStore, StoredImage, folder_size
from pytest_manylinux.model.distro import ImageSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VALUES = ("recipes", "surveys", "facts", "observations")
"""Folders of small files, each of which is checked by whoever reads it."""

_MARK = "pytest-manylinux-cache"  # the archive's first member; its content is the format
_FORMAT = b"1\n"
_LEVEL = 10  # beyond it a root of Debian takes several times as long for 3 % less
_CHUNK = 1 << 20
_KEPT = 500  # characters of what tar said

Heard = Callable[[int], object]
"""Called with the bytes of tar that went by."""
Fault = Callable[[Path], str]
"""Why what lies in a folder is not what it says it is; empty if it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheParts:
    """What goes into an archive: images, and paths relative to the cache folder. `size` in bytes."""

    images: tuple[StoredImage, ...]
    pythons: tuple[str, ...]
    values: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an archive brought: names of images and Pythons that are new here, or were here before.

    `refused` has a sentence for each that is not what it says it is; `values` counts new small files.
    """

    new: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[str, ...]
    values: int


def parts_of(store: ImageStore, pythons: str, *, max_size: int | None = None) -> CacheParts:
    """The most recently used images of at most `max_size` bytes together, all Pythons and values.

    `pythons` is the name of the folder that has them. Bytes are those on disk, before compression.
    """
    chosen, size = [], 0
    for stored in store.images():
        if max_size is not None and size + stored.record.size > max_size:
            break
        chosen.append(stored)
        size += stored.record.size
    folders = sorted(seal.parent for seal in store.root.glob(f"{pythons}/*/{SEAL}"))
    size += sum(map(folder_size, folders))
    values = tuple(name for name in VALUES if (store.root / name).is_dir())
    return CacheParts(
        images=tuple(chosen),
        pythons=tuple(str(folder.relative_to(store.root)) for folder in folders),
        values=values,
        size=size,
    )


def write_archive(store: ImageStore, parts: CacheParts, stream: BinaryIO, *, heard: Heard) -> None:
    """Write the parts to a binary file. Images that a run removes meanwhile are held until the end.

    Raises StoreError where tar fails or a disk is full.
    """
    held = [image for image in parts.images if store.take(image.record.arch, image.record.digest)]
    folders = [*(str(image.folder.relative_to(store.root)) for image in held), *parts.pythons]
    with room_errors(store.root), store.aside() as aside:
        (aside / _MARK).write_bytes(_FORMAT)
        os.utime(aside / _MARK, (0, 0))
        names = "\0".join([*sorted(folders), *parts.values]).encode()
        options: dict[int, int] = {
            zstd.CompressionParameter.checksum_flag: 1,
            zstd.CompressionParameter.compression_level: _LEVEL,
            zstd.CompressionParameter.nb_workers: os.cpu_count() or 1,
        }
        with zstd.ZstdFile(stream, "w", options=options) as compressed:
            for chunk in _tar(_packing(store.root, aside), names):
                compressed.write(chunk)
                heard(len(chunk))


def _packing(root: Path, aside: Path) -> tuple[str, ...]:
    return (
        *("tar", "--create", "--file=-", "--format=gnu", "--sort=name", "--numeric-owner", "--sparse"),
        *(f"--exclude={SEAL}", "--exclude=images/*/*/used", "--exclude=*.lock"),
        "--no-wildcards-match-slash",
        *(f"--directory={aside}", _MARK, f"--directory={root}", "--null", "--files-from=-"),
    )


def _tar(argv: Sequence[str], names: bytes) -> Iterator[bytes]:
    """What tar writes for these names; raises StoreError with its words where it fails."""
    with subprocess.Popen(
        contained(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            with cast("BinaryIO", process.stdin) as asked:
                asked.write(names)
            while chunk := cast("BinaryIO", process.stdout).read(_CHUNK):
                yield chunk
            words = cast("BinaryIO", process.stderr).read().decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise StoreError(
            "the cache could not be packed", why=reason_of(process.returncode, words[-_KEPT:])
        )


def read_archive(
    store: ImageStore, pythons: str, archive: Path, *, python_fault: Fault, heard: Heard
) -> Imported:
    """Take what an archive brings into the cache; what is there already stays as it is.

    `pythons` is the name of the folder for Pythons, of which `python_fault` judges each. An image's
    files are compared with its packages' checksums, and its packages with its digest. Raises UsageError
    for a file that is damaged or was not written by `write_archive`, and StoreError for the disk.
    """
    with store_errors(store.root), store.aside() as aside:
        _extract(archive, aside, heard)
        if _content(aside / _MARK) != _FORMAT:
            raise _unreadable(archive, "it has another format")
        return _taken(store, pythons, python_fault, aside)


def _extract(archive: Path, folder: Path, heard: Heard) -> None:
    # tar keeps below the folder that it is told: it takes leading slashes off and refuses `..`.
    owner = "--same-owner" if os.geteuid() == 0 else "--no-same-owner"
    argv = ("tar", "--extract", "--file=-", "--numeric-owner", owner, "--same-permissions")
    try:
        with (
            archive.open("rb") as raw,
            zstd.ZstdFile(raw) as stream,
            (folder / "tar.log").open("w+b") as log,
            subprocess.Popen(
                contained((*argv, f"--directory={folder}")), stdin=subprocess.PIPE, stderr=log
            ) as process,
        ):
            _feed(process, stream.read, heard)
    except (zstd.ZstdError, EOFError) as error:
        raise _unreadable(archive, str(error)) from error
    if process.returncode:
        words = (folder / "tar.log").read_text("utf-8", errors="replace").strip()
        raise _unreadable(archive, words[-_KEPT:])


def _feed(process: subprocess.Popen[bytes], read: Callable[[int], bytes], heard: Heard) -> None:
    try:
        with cast("BinaryIO", process.stdin) as asked:
            while chunk := read(_CHUNK):
                asked.write(chunk)
                heard(len(chunk))
    except BrokenPipeError:
        pass  # tar ended, and its words say why
    except BaseException:
        process.kill()
        raise


def _unreadable(archive: Path, why: str) -> UsageError:
    return UsageError(
        f"{archive} cannot be imported",
        why=why,
        remedy="it has to be a whole file that `pytest-manylinux cache export` wrote",
    )


def _taken(store: ImageStore, pythons: str, python_fault: Fault, aside: Path) -> Imported:
    new: list[str] = []
    known: list[str] = []
    refused: list[str] = []
    for folder in _folders(aside, "images/*/*"):
        with store.locked(f"import-{folder.name}", waiting=lambda _: None):
            name, came = _take_image(store, folder)
        (refused if came is None else new if came else known).append(name)
    for folder in _folders(aside, f"{pythons}/*"):
        target = store.root / pythons / folder.name
        if target.exists():
            known.append(folder.name)
        elif fault := python_fault(folder):
            refused.append(f"{folder.name}: {fault}")
        else:
            put_in_place(folder, target)
            new.append(folder.name)
    values = sum(_take_values(aside, folder.name, store.root) for folder in _folders(aside, "*"))
    return Imported(new=tuple(new), known=tuple(known), refused=tuple(refused), values=values)


def _take_image(store: ImageStore, folder: Path) -> tuple[str, bool | None]:
    """The image's name, and whether it is new; for one that is refused a sentence, and None."""
    stored = store.read(folder)
    if stored is None:
        return f"{folder.parent.name}/{folder.name[:12]}: it has no record that can be read", None
    record = stored.record
    if store.take(record.arch, record.digest) is not None:
        return record.name, False
    if fault := _fault(folder, record):
        return f"{record.name}: {fault}", None
    store.keep(folder, record)
    return record.name, True


def _fault(folder: Path, record: ImageRecord) -> str:
    """Why a root is not what its record says; empty if it is. That of a registry has no checksums."""
    root = folder / "root"
    if record.digest != f"sha256:{folder.name}" or record.arch != folder.parent.name:
        return "it lies at another image's place"
    if root.is_symlink() or not root.is_dir():
        return "it has no root"
    if record.origin != ImageSource.ARCHIVE.value:
        return ""
    if identity(record.arch, installed_packages(root)) != record.digest:
        return "its packages are not those of its digest"
    return next(changed_files(root), "")


def _take_values(aside: Path, name: str, cache: Path) -> int:
    """Copy the small files of a folder that are not there yet; their number."""
    count = 0
    for path in sorted((aside / name).rglob("*")) if name in VALUES else ():
        place = cache / path.relative_to(aside)
        if path.is_symlink() or not path.is_file() or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)  # one file system; what a power cut halves is known to be damaged
        count += 1
    return count


def _folders(aside: Path, pattern: str) -> Iterator[Path]:
    """The folders that came so; an archive's links are followed nowhere."""
    real = aside.resolve()
    for path in sorted(real.glob(pattern)):
        if path.is_dir() and path.resolve() == path:
            yield path


def _content(path: Path) -> bytes:
    try:
        return b"" if path.is_symlink() else path.read_bytes()
    except OSError:
        return b""
