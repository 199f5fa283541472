"""Which Python a target gets that its distro does not package: made or fetched once, then mounted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import ImageError, NoPythonError, ToolchainError
from pytest_manylinux.images.api import Say
from pytest_manylinux.model.distro import AddedPython, Image, InterpreterOrigin, Target
from pytest_manylinux.pythons.build_place import Root
from pytest_manylinux.pythons.source_build import build_python, built_python, check_buildable
from pytest_manylinux.pythons.source_package import fetch_source
from pytest_manylinux.pythons.standalone import StandalonePythons


def with_added_python(
    target: Target, image: Image, engine: Engine, cache: Path, *, root: Root, say: Say
) -> Image:
    """An image with the target's Python besides, if its distro does not package that one.

    `cache` is the cache folder, `root` gives the distro's roots that a Python is built in. Raises
    NoPythonError for a Python that cannot be provided, StoreError, and the engine's errors.
    """
    if target.interpreter.origin is InterpreterOrigin.DISTRO:
        return image
    try:
        added = _provided(target, engine, cache, root=root, say=say)
    except (ImageError, ToolchainError) as error:
        raise NoPythonError(error.what, why=error.why, remedy=error.remedy) from error
    return replace(image, added=added)


def _provided(target: Target, engine: Engine, cache: Path, *, root: Root, say: Say) -> AddedPython:
    if target.interpreter.origin is InterpreterOrigin.STANDALONE:
        return StandalonePythons(cache, say=say).provide(target.interpreter.version, target.arch)
    if (kept := built_python(cache, target)) is not None:
        return kept
    check_buildable(target)
    wanted = target.interpreter
    source = fetch_source(wanted.version, wanted.sources, cache / "pythons", say=say)
    native = partial(_provided, engine=engine, cache=cache, root=root, say=say)
    return build_python(target, source, engine, cache, root=root, native=native, say=say)
