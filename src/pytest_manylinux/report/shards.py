"""A run divided among several machines, and their proofs put together.

Each machine gets about as much to do as the others. Every machine computes the whole division by
itself, from the same plan and the same history.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.run import MergedRecord, RunRecord, SettingRecord, ShardRecord
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.report.proof import Proof

_SHARD = re.compile(r"(?P<index>[1-9]\d{0,3})/(?P<count>[1-9]\d{0,3})", re.ASCII)
_MOST = 9999  # shards, as many as four digits say; each takes memory in every one of them
_UNKNOWN = 1.0  # seconds, where history knows no duration at all; any number divides evenly


def parse_shard(text: str, *, where: str = "--manylinux-shard") -> tuple[int, int]:
    """Read `2/5`: the second of five. Raises UsageError for anything else."""
    match = _SHARD.fullmatch(text.strip())
    if match is None or int(match["index"]) > int(match["count"]):
        raise UsageError(
            f"{where}: {text[:80]!r} is not a shard",
            remedy=f"write it as 2/5, the second of five shards; there may be {_MOST}",
        )
    return int(match["index"]), int(match["count"])


def balance(weights: Mapping[str, float | None], count: int) -> tuple[frozenset[str], ...]:
    """Divide keys among `count` shards, the heaviest first, each to the lightest shard so far.

    Weights are seconds; None, for what has no history, counts as the median of the others. What
    must stay together (a build and the trials of its wheel) has one key. The order of the mapping
    does not matter. Graham's bound holds: no shard is above 4/3 of the best possible.
    """
    known = [weight for weight in weights.values() if weight is not None]
    usual = statistics.median(known) if known else _UNKNOWN
    loads = [(0.0, shard) for shard in range(count)]
    heapq.heapify(loads)
    shards: list[set[str]] = [set() for _ in range(count)]
    given = {key: usual if weight is None else weight for key, weight in weights.items()}
    for key in sorted(given, key=lambda key: (-given[key], key)):
        load, shard = heapq.heappop(loads)
        shards[shard].add(key)
        heapq.heappush(loads, (load + given[key], shard))
    return tuple(frozenset(keys) for keys in shards)


def shard_record(index: int, shards: Iterable[frozenset[str]]) -> ShardRecord:
    """What the proof of shard `index` (from 1) says; shards of one division share its digest."""
    division = [sorted(keys) for keys in shards]
    digest = hashlib.sha256(repr(division).encode("utf-8", "backslashreplace")).hexdigest()
    return ShardRecord(index=index, count=len(division), plan=f"sha256:{digest}")


def merge(proofs: Sequence[Proof]) -> RunRecord:
    """One run out of several.

    Shards must be all there and of one plan: UsageError otherwise. Where one run could not prove
    what another one did, the proof stands. Where two disagree on the same bytes and target both
    verdicts are kept, so that the gate sees the worse one.
    """
    if not proofs:
        raise UsageError("there is nothing to merge", remedy="name two proofs or more")
    records = [proof.record for proof in proofs]
    _check_shards(records)
    first = min(records, key=lambda record: record.started)
    end = max(record.started + record.duration for record in records)
    return replace(
        first,
        duration=end - first.started,
        settings=_settings(records),
        wheels=tuple(wheel for record in records for wheel in record.wheels),
        builds=tuple(dict.fromkeys(build for record in records for build in record.builds)),
        verdicts=_verdicts(verdict for record in records for verdict in record.verdicts),
        pins=tuple(dict.fromkeys(pin for record in records for pin in record.pins)),
        distros=_distros(records),
        shard=None,
        merged=tuple(merged for proof in proofs for merged in _origins(proof)),
    )


def _check_shards(records: Iterable[RunRecord]) -> None:
    """Every shard of each division: its digest says which ones belong together."""
    divisions: dict[tuple[str, int], set[int]] = {}
    for record in records:
        if record.shard is not None and record.shard.count > 1:
            division = (record.shard.plan, record.shard.count)
            divisions.setdefault(division, set()).add(record.shard.index)
    for (_, count), indexes in divisions.items():
        if missing := sorted(set(range(1, count + 1)) - indexes):
            raise UsageError(
                f"shard {', '.join(f'{index}/{count}' for index in missing)} is missing",
                why="either its proof is not among the files, or the shards planned different things"
                " (another history, another checkout)",
                remedy="name the proofs of all shards of one run",
            )


def _verdicts(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Not proven gives way to proven; the same outcome twice is kept once, the newest."""
    cells: dict[tuple[str, str, str], dict[Outcome, Verdict]] = {}
    for verdict in verdicts:
        cell = cells.setdefault((verdict.wheel, verdict.wheel_sha256, verdict.subject), {})
        known = cell.get(verdict.outcome)
        if known is None or _started(verdict) > _started(known):
            cell[verdict.outcome] = verdict
    for cell in cells.values():
        if len(cell) > 1:
            cell.pop(Outcome.NOT_PROVEN, None)
    return tuple(verdict for cell in cells.values() for verdict in cell.values())


def _started(verdict: Verdict) -> float:
    return 0.0 if verdict.observation is None else verdict.observation.started


def _settings(records: Sequence[RunRecord]) -> tuple[SettingRecord, ...]:
    """Settings by name; where the runs differ, all values."""
    values: dict[str, list[SettingRecord]] = {}
    for record in records:
        for setting in record.settings:
            values.setdefault(setting.name, []).append(setting)
    return tuple(
        SettingRecord(
            name=name,
            value=" | ".join(dict.fromkeys(setting.value for setting in found)),
            source=" | ".join(dict.fromkeys(setting.source for setting in found)),
        )
        for name, found in values.items()
    )


def _distros(records: Sequence[RunRecord]) -> tuple[Distro, ...]:
    rows = {distro.id: distro for record in records for distro in record.distros}
    return tuple(rows.values())


def _origins(proof: Proof) -> tuple[MergedRecord, ...]:
    """What a proof was made from: itself, or what it was merged from already."""
    record = proof.record
    return record.merged or (
        MergedRecord(
            sha256=proof.sha256,
            started=record.started,
            tool_version=record.tool_version,
            engine=record.engine,
            engine_version=record.engine_version,
        ),
    )
