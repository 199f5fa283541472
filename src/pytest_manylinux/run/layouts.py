"""What a builder image was seen to hold: the same image is not looked into again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec

from pytest_manylinux.building.api import Say
from pytest_manylinux.building.image_layout import Layout, read_layout
from pytest_manylinux.cache.code_version import procedure_of
from pytest_manylinux.cache.values import ValueCache
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.model.distro import Image

LIMIT = 1024 * 1024  # bytes; some hundreds of images


def layout_of(image: Image, engine: Engine, *, prefix: tuple[str, ...], root: Path, say: Say) -> Layout:
    """The image's layout, kept below `root` by its digest; raises what read_layout raises."""
    kept = ValueCache(root, Layout, limit=LIMIT)
    parts = [procedure_of("building"), engine.name, image.digest, prefix]
    key = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    known = kept.recall(key)
    if known is not None:
        return replace(known, image=image)
    say(f"builder: looking into {image.name}")
    layout = read_layout(image, engine, prefix=prefix)
    kept.keep(key, layout)
    kept.prune()
    return layout
