"""Layers of images that are kept by digest, so that images which share them fetch them once.

The folder is the blob directory of an OCI image layout (`sha256/HEX`): skopeo puts layers,
configurations and manifests there. While a run goes on, layers are kept up to LAYERS_KEPT, for the
run's other images; at its end only those stay that more than one image has. A layer's files are in
the roots by then, and a container engine keeps no packed layers either.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

LAYERS = "layers"
"""The folder's name in the cache folder."""
LAYERS_KEPT = 256 << 20
"""Bytes of layers that stay after they were unpacked."""


def pin_layers(layers: Sequence[Path], folder: Path, *, since: int) -> tuple[Path, ...]:
    """Give layers of the cache a second name in `folder`, so that they stay; nothing if one is damaged.

    A layer that came after `since` (ns since the epoch) was compared with its digest as it came; an
    older one is now, and removed if it is damaged.
    """
    pinned = []
    for number, path in enumerate(layers):
        pin = folder / f"layer{number}"
        pin.unlink(missing_ok=True)
        try:
            os.link(path, pin)
        except FileNotFoundError:
            return ()
        if pin.stat().st_mtime_ns < since and sha256_of(pin) != path.name:
            path.unlink(missing_ok=True)
            return ()
        os.utime(path)
        pinned.append(pin)
    return tuple(pinned)


def forget_layers(folder: Path, *, keep: int = LAYERS_KEPT, shared_only: bool = False) -> None:
    """Remove the layers that were not used for longest until at most `keep` bytes are left.

    With `shared_only`, all go that fewer than two manifests of the folder name, and they go first.
    Manifests and configurations stay, a few kilobytes each: by them an image is found when no registry
    answers.
    """
    found, images_of = [], Counter[str]()
    for path in folder.glob("sha256/*"):
        with contextlib.suppress(OSError):
            document = _document(path)
            if document is None:
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
            else:
                images_of.update(_layers_of(document))
    total = sum(size for _, size, _ in found)
    by_use = sorted((images_of[path.name] > 1, used, size, path) for used, size, path in found)
    for shared, _, size, path in by_use:
        if total <= keep and (shared or not shared_only):
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _document(path: Path) -> bytes | None:
    """A manifest or configuration, which is a JSON object; None for a layer, which is an archive."""
    with path.open("rb") as file:
        start = file.read(1)
        return start + file.read() if start == b"{" else None


def _layers_of(document: bytes) -> set[str]:
    """The names of the layers' files; empty for what is not an image's manifest."""
    try:
        layers = json.loads(document).get("layers", ())
        return {str(layer["digest"]).partition(":")[2] for layer in layers}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
