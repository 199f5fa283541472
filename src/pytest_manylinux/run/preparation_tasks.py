"""The tasks that come before builds and trials: images, compiler, tools, virtual environments.

Each is done once per run by whoever needs it first. Where fetching or making something ahead fails,
nothing is said: the build or trial that needs it fails in the same way, and explains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_manylinux.building.zig_builder import prepare_build_tools, prepare_compiler
from pytest_manylinux.model.distro import ImagePurpose, Target
from pytest_manylinux.run.session import Run, task_key
from pytest_manylinux.run.tasks import Needs
from pytest_manylinux.trials.venv import prepared_venv

Key = tuple[Any, ...]


def tools_folder(run: Run) -> Path:
    """Where builds keep compiler, tools and caches."""
    return run.store.root / "build"


def venvs_folder(run: Run) -> Path:
    """Where trials keep prepared virtual environments."""
    return run.store.root / "venvs"


def add_image(run: Run, target: Target, purpose: ImagePurpose, extra: tuple[str, ...] = ()) -> Key:
    """Add an image; one for builds comes after that for trials, which it may be grown from."""
    key = task_key("image", target.distro.id, _python(target), purpose.value, extra)
    needs = [add_image(run, target, ImagePurpose.TRIAL)] if purpose is ImagePurpose.BUILD else []
    run.graph.add(
        key, lambda _: run.image(target.distro, target.interpreter, purpose, extra), needs=needs
    )
    return key


def add_compiler(run: Run) -> Key:
    """Fetch the compiler and warm it up, while roots are made."""
    key = task_key("compiler")

    def work(_: Needs) -> None:
        folder, policy = tools_folder(run), run.settings.policy
        prepare_compiler(folder, policy, run.arch, say=run.messages.say)

    run.graph.add(key, work)
    return key


def add_tools(run: Run, target: Target) -> Key:
    """Fetch front end and repair tools for an image's Python, while headers are installed."""
    key = task_key("tools", target.distro.id, _python(target))
    python = target.interpreter.version

    def work(done: Needs) -> None:
        image = done[0].result()
        prepare_build_tools(tools_folder(run), image, python, run.engine(), say=run.messages.say)

    run.graph.add(key, work, needs=[add_image(run, target, ImagePurpose.TRIAL)])
    return key


def add_venv(run: Run, target: Target) -> Key:
    """Make the distro's own virtual environment, while the first wheel for it is built."""
    key = task_key("venv", target.id)

    def work(done: Needs) -> None:
        prepared_venv(done[0].result(), target.interpreter, run.engine(), venvs_folder(run))

    run.graph.add(key, work, needs=[add_image(run, target, ImagePurpose.TRIAL)])
    return key


def _python(target: Target) -> str:
    return target.interpreter.version.tag
