"""A run divided among several machines, so that each takes about as long as the others.

Every machine computes the whole division by itself, from the same plan and the same history.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import statistics
from collections.abc import Iterable, Mapping

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.run import ShardRecord

_SHARD = re.compile(r"(?P<index>[1-9]\d*)/(?P<count>[1-9]\d*)")
_UNKNOWN = 1.0  # seconds, where history knows no duration at all; any number divides evenly


def parse_shard(text: str, *, where: str = "--manylinux-shard") -> tuple[int, int]:
    """Read `2/5`: the second of five. Raises UsageError for anything else."""
    match = _SHARD.fullmatch(text.strip())
    if match is None or int(match["index"]) > int(match["count"]):
        raise UsageError(
            f"{where}: {text!r} is no shard", remedy="write it as 2/5, the second of five shards"
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
