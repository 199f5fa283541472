"""Which Python a target gets that its distro does not package: made or fetched once, then mounted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.images.api import Say
from pytest_manylinux.model.distro import AddedPython, Image, InterpreterOrigin, Target
from pytest_manylinux.pythons.source_package import (
    build_python,
    built_python,
    check_buildable,
    fetch_source,
)
from pytest_manylinux.pythons.standalone import StandalonePythons


def with_added_python(
    target: Target,
    image: Image,
    engine: Engine,
    cache: Path,
    *,
    build_root: Callable[[], Image],
    say: Say,
) -> Image:
    """An image with the target's Python besides, if its distro does not package that one.

    `cache` is the cache folder, `build_root` gives the root that a Python is built in. Raises
    ToolchainError and ImageError for a Python that cannot be provided, and the engine's errors.
    """
    if target.interpreter.origin is InterpreterOrigin.DISTRO:
        return image
    return replace(image, added=_provided(target, engine, cache, build_root=build_root, say=say))


def _provided(
    target: Target, engine: Engine, cache: Path, *, build_root: Callable[[], Image], say: Say
) -> AddedPython:
    if target.interpreter.origin is InterpreterOrigin.STANDALONE:
        return StandalonePythons(cache, say=say).provide(target.interpreter.version, target.arch)
    if (kept := built_python(cache, target)) is not None:
        return kept
    check_buildable(target)
    wanted = target.interpreter
    source = fetch_source(wanted.version, wanted.sources, cache / "pythons", say=say)
    return build_python(target, build_root(), source, engine, cache, say=say)
