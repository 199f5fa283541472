"""A root that goes from one machine's store to another's: as a tar stream, known by its digest."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pytest_manylinux.errors import StoreError
from pytest_manylinux.host.containment import contained
from pytest_manylinux.images.dpkg import identity, installed_packages
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image

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
        raise StoreError("a root that was received could not be unpacked", why=words.strip())


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
