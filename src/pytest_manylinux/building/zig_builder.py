"""The builder `zig`: from a project to a repaired wheel in the wheelhouse, on any Debian root."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace
from pathlib import Path

from pytest_manylinux.building import zig
from pytest_manylinux.building.api import Builder, BuildOutcome, BuildRequest, Say
from pytest_manylinux.building.build_tools import BuildTools, prepare_kit, prepare_tools
from pytest_manylinux.building.compiler import fetch_compiler, warm_up
from pytest_manylinux.building.job import Job
from pytest_manylinux.building.project import read_project
from pytest_manylinux.cache.disk_errors import refusal
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.python import PythonVersion

__all__ = ["BuildOutcome", "BuildRequest", "Builder", "ZigBuilder", "build_wheel"]


class ZigBuilder:
    """Builds with zig in a Debian root that has the wanted Python's headers."""

    name = "zig"

    def build(self, request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
        """Make the wheel; see `api.Builder`."""
        started = time.monotonic()
        zig.machine(request.arch)
        project = read_project(request.project)
        index = host_index()
        python = f"python{request.python.dotted}"
        kit = prepare_kit(request.cache, request.plain or request.image, python, engine, index, say=say)
        policy = repairable(request.policy, kit)
        if policy != request.policy:
            say(f"auditwheel knows no {request.policy}: building for {policy}, which promises more")
        its_index = index if request.network else index.offline()
        job = Job(request=request, project=project, kit=kit, index=its_index, policy=policy)
        try:
            with temporary_folder() as here:
                outcome = job.run(engine, here, say)
        except OSError as error:
            raise refusal(request.cache, error, doing=job.what) from error
        record = replace(outcome.record, duration=time.monotonic() - started)
        return replace(outcome, record=record)


def prepare_compiler(cache: Path, policy: Policy, arch: str, *, say: Say) -> None:
    """Fetch the compiler, and warm it up for a policy, ahead of the first build: no image is needed.

    Raises what a build would: ToolchainError, StoreError, UsageError. Where this Python has no pip,
    the first build does it.
    """
    if importlib.util.find_spec("pip") is not None:
        warm_up(fetch_compiler(cache, arch, say=say), cache, policy, arch)


def prepare_build_tools(
    cache: Path, image: Image, python: PythonVersion, engine: Engine, *, say: Say
) -> None:
    """Fetch front end and repair tools for an image ahead of the first build in it."""
    prepare_tools(cache, image, f"python{python.dotted}", engine, host_index(), say=say)


def build_wheel(request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
    """Make a wheel with zig; see `api.Builder` for what is raised."""
    return ZigBuilder().build(request, engine, say=say)


def repairable(wanted: Policy, kit: BuildTools) -> Policy:
    """The newest policy not above the wanted one that auditwheel repairs to.

    PEP 600 allows any manylinux_X_Y; auditwheel knows those that some distro stands behind. A wheel
    for the next lower one keeps the wanted one's promise too.
    """
    return max((known for known in kit.policies if known <= wanted), default=wanted)
