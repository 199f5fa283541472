"""What a builder image was seen to hold: the same image is not looked into again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec

from pytest_manylinux.build.api import Say
from pytest_manylinux.build.layout import Layout, read_layout
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.model.distro import Image
from pytest_manylinux.procedure import procedure_of
from pytest_manylinux.session.kept import Kept

LIMIT = 1024 * 1024  # bytes; some hundreds of images


def layout_of(image: Image, engine: Engine, *, prefix: tuple[str, ...], root: Path, say: Say) -> Layout:
    """The image's layout, kept below `root` by its digest; raises what read_layout raises."""
    kept = Kept(root, Layout, limit=LIMIT)
    parts = [procedure_of("build"), engine.name, image.digest, prefix]
    key = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    known = kept.recall(key)
    if known is not None:
        return replace(known, image=image)
    say(f"builder: looking into {image.name}")
    layout = read_layout(image, engine, prefix=prefix)
    kept.keep(key, layout)
    kept.prune()
    return layout
