"""One run as a value: what the proof, the reports and the gate are made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_manylinux.model.distro import Distro
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
    was that one.
    """

    project: str
    python: str
    policy: str
    builder: str
    image: str = ""
    image_name: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    requirements: tuple[tuple[str, str], ...] = ()
    commit: str = ""
    dirty: bool = False
    wheel_sha256: str = ""
    reused: str = ""
    error: str = ""
    log: str = ""
    started: float = 0.0
    duration: float = 0.0
    remembered: bool = False
    builder_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelRecord:
    """A wheel of the run, what it is reported under (`group`: node path), and its audit."""

    wheel: Wheel
    group: str
    audit: Audit | None = None
    build: BuildRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """Which part of a divided run this is: `index` of `count`, counted from 1.

    `plan` is a digest of all the keys that were divided: shards with different plans do not add
    up to one run.
    """

    index: int
    count: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRecord:
    """A run whose proof went into a merged one. `sha256` is over that proof's file."""

    sha256: str
    started: float
    tool_version: str
    engine: str
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. `started` is seconds since the epoch (UTC), `duration` seconds.

    `distros` are the catalogue's rows that the settings asked for, tried or deselected: the gate
    wants them all. `pins` are (distro id, image digest). `shard` is None for a whole run.
    """

    started: float
    duration: float
    tool_version: str
    pytest_version: str
    host_python: str
    kernel: str
    engine: str
    engine_version: str
    settings: tuple[SettingRecord, ...] = ()
    wheels: tuple[WheelRecord, ...] = ()
    builds: tuple[BuildRecord, ...] = ()
    verdicts: tuple[Verdict, ...] = field(default=())
    catalogue_version: str = ""
    pins: tuple[tuple[str, str], ...] = ()
    distros: tuple[Distro, ...] = ()
    shard: ShardRecord | None = None
    merged: tuple[MergedRecord, ...] = ()
