"""One run as a value: what the proof, the reports and the gate are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.observation import (
    Count,
    Epoch,
    OptionalSha256,
    Ordinal,
    Pairs,
    Seconds,
    Sha256,
)
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.model.wheel import Audit, Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRecord:
    """A setting as the run used it; `source` says where it came from (`default`, a flag, a file)."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """How a wheel of this run came to be.

    `tools` are (name, version) of compiler, auditwheel, patchelf, front end; `requirements` the
    build requirements as they were resolved. `commit` is empty outside version control; `dirty`
    tells of changes that are not committed. `wheel_sha256` is empty where the build failed, and
    `error` then has the reason. `reused` names an earlier build of this run whose wheel serves
    this Python too (abi3, pure). `started` is seconds since the epoch (UTC), `duration` seconds;
    `remembered` tells that an earlier run built it then, from the same source in the same way.
    `builder` is `zig`, `official`, or the builder image as it was named; `builder_why` says why it
    was that one. `siblings` are wheels of the run that were taken as build requirements: (file name,
    SHA-256). `reproducible` tells whether a second build in other surroundings gave the same wheel,
    byte for byte, None if there was none; `differences` are what differed, a sentence each.
    `policy_why` is what asked for this policy where an older one was tried first.
    """

    project: str
    python: str
    policy: str
    builder: str
    image: str = ""
    image_name: str = ""
    tools: Pairs = ()
    requirements: Pairs = ()
    commit: str = ""
    dirty: bool = False
    wheel_sha256: OptionalSha256 = ""
    reused: str = ""
    error: str = ""
    log: str = ""
    started: Epoch = 0.0
    duration: Seconds = 0.0
    remembered: bool = False
    builder_why: str = ""
    siblings: Pairs = ()
    reproducible: bool | None = None
    differences: tuple[str, ...] = ()
    policy_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelRecord:
    """A wheel of the run, what it is reported under (`group`: node path), and its audit.

    `file` is its name, which is part of what was proven; `size` is bytes, `tags` the expanded
    compatibility tags, sorted. `path` is where it lies on this machine: a proof does not have it.
    """

    file: str
    sha256: Sha256
    size: Count
    name: str
    version: str
    build_tag: str
    tags: tuple[str, ...]
    group: str
    audit: Audit | None = None
    build: BuildRecord | None = None
    path: Path | None = None

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags, sorted."""
        return tuple(sorted({tag.rpartition("-")[2] for tag in self.tags}))


def record_wheel(
    wheel: Wheel, group: str, *, audit: Audit | None = None, build: BuildRecord | None = None
) -> WheelRecord:
    """The record of a wheel file."""
    return WheelRecord(
        file=wheel.filename,
        sha256=wheel.sha256,
        size=wheel.size,
        name=wheel.name,
        version=wheel.version,
        build_tag=wheel.build,
        tags=tuple(sorted(map(str, wheel.tags))),
        group=group,
        audit=audit,
        build=build,
        path=wheel.path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """Which part of a divided run this is: `index` of `count`, counted from 1.

    `plan` is a digest of all the keys that were divided: shards with different plans do not add
    up to one run.
    """

    index: Ordinal
    count: Ordinal
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRecord:
    """A run whose proof went into a merged one. `sha256` is over that proof's file."""

    sha256: Sha256
    started: Epoch
    tool_version: str
    engine: str
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. `started` is seconds since the epoch (UTC), `duration` seconds.

    `distros` are the catalogue's rows that the settings asked for, tried or deselected: the gate
    wants them all. `pins` are (distro id, image digest). `shard` is None for a whole run.
    """

    started: Epoch
    duration: Seconds
    tool_version: str
    pytest_version: str
    host_python: str
    kernel: str
    engine: str
    engine_version: str
    catalogue_version: str = ""
    settings: tuple[SettingRecord, ...] = ()
    pins: Pairs = ()
    shard: ShardRecord | None = None
    merged: tuple[MergedRecord, ...] = ()
    distros: tuple[Distro, ...] = ()
    wheels: tuple[WheelRecord, ...] = ()
    builds: tuple[BuildRecord, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
