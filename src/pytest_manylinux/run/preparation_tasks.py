"""The tasks that come before builds and trials: images, compiler, tools, virtual environments.

Each is done once per run by whoever needs it first. Where fetching or making something ahead fails,
nothing is said: the build or trial that needs it fails in the same way, and explains.
"""

from __future__ import annotations

from typing import Any

from pytest_manylinux.building.build_tools import prepare_build_tools
from pytest_manylinux.building.compiler import prepare_compiler
from pytest_manylinux.model.distro import ImagePurpose, Target
from pytest_manylinux.run.session import Run, task_key
from pytest_manylinux.run.tasks import Needs

Key = tuple[Any, ...]


def add_image(run: Run, target: Target, purpose: ImagePurpose, extra: tuple[str, ...] = ()) -> Key:
    """Add an image; one for builds comes after that for trials, which it may be grown from."""
    key = task_key("image", target.distro.id, target.arch, _python(target), purpose.value, extra)
    needs = [add_image(run, target, ImagePurpose.TRIAL)] if purpose is ImagePurpose.BUILD else []
    run.graph.add(key, lambda _: run.workspace.image(target, purpose, extra), needs=needs)
    return key


def add_compiler(run: Run, arch: str) -> Key:
    """Fetch the compiler and warm it up, while roots are made."""
    key = task_key("compiler", arch)

    def work(_: Needs) -> None:
        folder, policy = run.workspace.build_cache, run.settings.policy
        prepare_compiler(folder, policy, arch, say=run.messages.say)

    run.graph.add(key, work)
    return key


def add_tools(run: Run, target: Target) -> Key:
    """Fetch front end and repair tools for an image's Python, while headers are installed."""
    key = task_key("tools", target.distro.id, target.arch, _python(target))
    python = target.interpreter.version

    def work(done: Needs) -> None:
        image = done[0].result()
        prepare_build_tools(
            run.workspace.build_cache, image, python, run.workspace.engine(), say=run.messages.say
        )

    run.graph.add(key, work, needs=[add_image(run, target, ImagePurpose.TRIAL)])
    return key


def add_venv(run: Run, target: Target) -> Key:
    """Make the distro's own virtual environment, while the first wheel for it is built."""
    key = task_key("venv", target.id)

    def work(done: Needs) -> None:
        run.workspace.prepare_venv(target, done[0].result())

    run.graph.add(key, work, needs=[add_image(run, target, ImagePurpose.TRIAL)])
    return key


def _python(target: Target) -> str:
    return target.interpreter.version.id
