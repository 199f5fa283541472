"""How a build is done, and the record of one that gave a wheel."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pytest_manylinux.building.api import BuildRequest
from pytest_manylinux.building.source import Snapshot
from pytest_manylinux.model.run import BuildRecord

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """The way of a build: what decides beside the request and the source.

    `policy` is what the wheel will promise, `index` the identity of the package index.
    """

    builder: str
    policy: str
    tools: Pairs
    index: str


def record_of(
    request: BuildRequest,
    snapshot: Snapshot,
    how: BuildInputs,
    *,
    requirements: Pairs,
    sha256: str,
    more_tools: Pairs = (),
) -> BuildRecord:
    """All but the duration, which only the end of the build knows."""
    return BuildRecord(
        project=str(request.project),
        python=request.python.id,
        policy=how.policy,
        builder=how.builder,
        image=request.image.digest,
        image_name=request.image.name,
        tools=(*how.tools, *more_tools),
        requirements=requirements,
        commit=snapshot.commit,
        dirty=snapshot.dirty,
        wheel_sha256=sha256,
        log=str(request.log),
        started=time.time(),
    )
