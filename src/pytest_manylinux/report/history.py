"""Nights kept: a folder of proofs, read for trends and for how long things take."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pytest_manylinux.errors import ManylinuxError, UsageError
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.diff import pair_wheels
from pytest_manylinux.report.matrix import SEVERITY_ORDER, Key
from pytest_manylinux.report.proof import read_proof, write_proof

NIGHTS = 30
_PREFIX = "proof-"


@dataclass(frozen=True, slots=True)
class Night:
    """How one cell ended in one earlier run; None where it was not tried."""

    started: float
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class History:
    """Earlier runs, the oldest first; `unread` are files that could not be used, and why."""

    records: tuple[RunRecord, ...]
    unread: tuple[str, ...] = ()

    def nights(self, record: RunRecord) -> Mapping[tuple[Key, str], tuple[Night, ...]]:
        """For every cell of `record`, how it ended in each earlier run."""
        cells: dict[tuple[Key, str], list[Night]] = {
            ((v.wheel, v.wheel_sha256), v.subject): [] for v in record.verdicts
        }
        for earlier in self.records:
            pairs = pair_wheels(earlier, record)
            outcomes = _outcomes(earlier)
            for (key, subject), nights in cells.items():
                outcome = outcomes.get((pairs[key], subject)) if key in pairs else None
                nights.append(Night(earlier.started, outcome))
        return {cell: tuple(nights) for cell, nights in cells.items()}


def _outcomes(record: RunRecord) -> dict[tuple[Key, str], Outcome]:
    found: dict[tuple[Key, str], Outcome] = {}
    for verdict in record.verdicts:
        cell = ((verdict.wheel, verdict.wheel_sha256), verdict.subject)
        known = found.get(cell)
        found[cell] = verdict.outcome if known is None else _worse(known, verdict.outcome)
    return found


def _worse(one: Outcome, other: Outcome) -> Outcome:
    return min(one, other, key=SEVERITY_ORDER.index)


def keep(record: RunRecord, folder: Path) -> Path:
    """Add the run's proof to the folder, under its time; earlier files are never touched."""
    started = datetime.fromtimestamp(record.started, tz=timezone.utc)
    stem = f"{_PREFIX}{started:%Y%m%dT%H%M%SZ}"
    path = folder / f"{stem}.json"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.json"
    write_proof(record, path)
    return path


def load_history(folder: Path, *, nights: int = NIGHTS, before: float | None = None) -> History:
    """The newest proofs of the folder, at most `nights`; `before` leaves later runs out.

    A folder that is not there is an empty history. A file that cannot be used is told of, and
    does not stop the rest. Raises UsageError for a file in the folder's place.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", remedy="name a folder for the history")
    records: list[RunRecord] = []
    unread: list[str] = []
    for path in sorted(folder.glob(f"{_PREFIX}*.json"), reverse=True):
        if len(records) >= nights:
            break
        try:
            record = read_proof(path).record
        except ManylinuxError as error:
            unread.append(f"{path.name}: {error.why or error.what}")
            continue
        if before is None or record.started < before:
            records.append(record)
    ordered = sorted(records, key=lambda record: record.started)
    return History(tuple(ordered), tuple(unread))


def durations(records: Iterable[RunRecord]) -> Mapping[str, float]:
    """How long a trial takes, in seconds: the median over the runs, by `GROUP::TARGET`.

    GROUP is the node path that the wheel was reported under, so that a build's wheel is found by
    its project in any version. Builds are `GROUP::build-PYTHON`.
    """
    seen: dict[str, list[float]] = {}
    for record in records:
        groups = {(w.file, w.sha256): w.group for w in record.wheels}
        for verdict in record.verdicts:
            group = groups.get((verdict.wheel, verdict.wheel_sha256))
            if group is not None and verdict.observation is not None:
                seen.setdefault(f"{group}::{verdict.subject}", []).append(verdict.observation.duration)
        for build in record.builds:
            seen.setdefault(f"{build.project}::build-{build.python}", []).append(build.duration)
    return {key: statistics.median(times) for key, times in seen.items()}


def summary(records: Sequence[RunRecord]) -> tuple[tuple[float, Mapping[Outcome, int]], ...]:
    """For each run its start and how many cells ended how."""
    found = []
    for record in records:
        counts = dict.fromkeys(Outcome, 0)
        for outcome in _outcomes(record).values():
            counts[outcome] += 1
        found.append((record.started, counts))
    return tuple(found)
