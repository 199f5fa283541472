"""Two runs compared: what broke, what was fixed, and what changed underneath; and many nights' trends.

Wheels are paired first: a wheel's successor has its file name, or its project and tags. Digests then
show the cause: of the wheel, of the image, the versions of interpreter, pip and installed dependencies,
the engine and the tool itself. Nights are a folder of proofs, read for trends and for how long things
take.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pytest_manylinux.errors import ManylinuxError, UsageError
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.report.matrix import SEVERITY_ORDER, Key, worst
from pytest_manylinux.report.phrases import tries_words
from pytest_manylinux.report.proof import read_proof, write_proof


class CellChange(enum.Enum):
    """What became of one cell."""

    NEWLY_FAILING = "newly failing"
    NEWLY_NOT_PROVEN = "newly not proven"
    FIXED = "fixed"
    FAILS_OTHERWISE = "fails in another way"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing underneath that changed. `kind` is `wheel`, `image`, `interpreter` or another word."""

    kind: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCell:
    """One cell that is not as it was.

    `causes` are all recorded differences underneath, the likeliest first; none means that nothing
    recorded changed: then the fault comes and goes by itself.
    """

    change: CellChange
    wheel: str
    subject: str
    before: Verdict | None
    after: Verdict | None
    causes: tuple[Shift, ...] = ()


def diff(old: RunRecord, new: RunRecord) -> tuple[ChangedCell, ...]:
    """Every cell that changed, the worst first, then by wheel and target."""
    pairs = pair_wheels(old, new)
    before, after = _cells(old), _cells(new)
    tools = tuple(_tool_causes(old, new))
    found: list[ChangedCell] = []
    for (key, subject), verdict in after.items():
        earlier = before.pop((pairs[key], subject), None) if key in pairs else None
        change = _change(earlier, verdict)
        if change is not None:
            causes = () if earlier is None else (*_causes(earlier, verdict), *tools)
            found.append(_difference(change, earlier, verdict, causes))
    found += [_difference(CellChange.GONE, verdict, None, ()) for verdict in before.values()]
    changes = list(CellChange)
    return tuple(sorted(found, key=lambda d: (changes.index(d.change), d.wheel, d.subject)))


def _difference(
    change: CellChange, before: Verdict | None, after: Verdict | None, causes: tuple[Shift, ...]
) -> ChangedCell:
    named = after or before
    if named is None:
        raise ValueError("a difference between nothing and nothing")
    return ChangedCell(
        change=change,
        wheel=named.wheel,
        subject=named.subject,
        before=before,
        after=after,
        causes=causes,
    )


def _cells(record: RunRecord) -> dict[tuple[Key, str], Verdict]:
    groups: dict[tuple[Key, str], list[Verdict]] = {}
    for verdict in record.verdicts:
        key = (verdict.wheel, verdict.wheel_sha256)
        groups.setdefault((key, verdict.subject), []).append(verdict)
    return {cell: found for cell, group in groups.items() if (found := worst(group)) is not None}


def _change(before: Verdict | None, after: Verdict) -> CellChange | None:
    if before is None:
        return CellChange.NEW
    if after.outcome.passes:
        return None if before.outcome.passes else CellChange.FIXED
    if after.outcome is Outcome.NOT_PROVEN:
        return None if before.outcome is Outcome.NOT_PROVEN else CellChange.NEWLY_NOT_PROVEN
    if before.outcome is not Outcome.NOT_PORTABLE:
        return CellChange.NEWLY_FAILING
    return None if _error_names(before) == _error_names(after) else CellChange.FAILS_OTHERWISE


def _error_names(verdict: Verdict) -> frozenset[str]:
    return frozenset(finding.name for finding in verdict.errors)


def _causes(before: Verdict, after: Verdict) -> Iterator[Shift]:
    """What differs underneath one cell."""
    yield from _unlike("wheel", _wheel(before), _wheel(after))
    old, new = before.observation, after.observation
    if old is None or new is None:
        return
    yield from _unlike("image", old.image, new.image)
    yield from _unlike("interpreter", _interpreter(old), _interpreter(new))
    yield from _unlike("libc", old.libc, new.libc)
    if old.install is not None and new.install is not None:
        yield from _unlike("pip", old.install.pip_version, new.install.pip_version)
        yield from _dependencies(old.install.installed, new.install.installed, after.wheel)
    yield from _unlike("engine", old.engine, new.engine)


def _interpreter(seen: Observation) -> str:
    """The Python, and of one that the distro does not package which build of it."""
    if not seen.added_python:
        return seen.python
    return f"{seen.added_python} {seen.added_python_digest[:19]}".strip()


def _wheel(verdict: Verdict) -> str:
    return f"{verdict.wheel} {verdict.wheel_sha256[:12]}".strip()


def _unlike(kind: str, before: str, after: str) -> Iterator[Shift]:
    if before != after:
        yield Shift(kind, before, after)


def _dependencies(
    before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]], wheel: str
) -> Iterator[Shift]:
    """Installed distributions that differ, but for the wheel's own."""
    own = _normal(wheel.partition("-")[0])
    old, new = _versions(before), _versions(after)
    for name in sorted((old.keys() | new.keys()) - {own}):
        if old.get(name) != new.get(name):
            versions = (f"{name} {old.get(name, 'absent')}", f"{name} {new.get(name, 'absent')}")
            yield Shift("dependency", *versions)


def _versions(installed: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    return {_normal(name): version for name, version in installed}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _tool_causes(old: RunRecord, new: RunRecord) -> Iterator[Shift]:
    """Versions of our own side; they come last among the causes."""
    yield from _unlike(
        "tool", f"pytest-manylinux {old.tool_version}", f"pytest-manylinux {new.tool_version}"
    )
    yield from _unlike(
        "engine",
        f"{old.engine} {old.engine_version}".strip(),
        f"{new.engine} {new.engine_version}".strip(),
    )
    yield from _unlike("catalogue", old.catalogue_version, new.catalogue_version)
    settings = {setting.name: setting.value for setting in old.settings}
    for setting in new.settings:
        if setting.name in settings and settings[setting.name] != setting.value:
            yield Shift(
                "setting",
                f"{setting.name} = {settings[setting.name]}",
                f"{setting.name} = {setting.value}",
            )


def cause_line(difference: ChangedCell) -> str:
    """The causes in one sentence."""
    if difference.before is None or difference.after is None:
        return ""
    verdicts = [difference.after] if difference.causes else [difference.after, difference.before]
    for verdict in verdicts:
        if verdict.tries is not None and verdict.tries.flaky:
            return f"flaky: {tries_words(verdict.tries)}"
    if not difference.causes:
        return "nothing recorded changed: it comes and goes by itself"
    kinds = list(dict.fromkeys(cause.kind for cause in difference.causes))
    only = "only " if len(kinds) == 1 else ""
    return f"{only}the {' and the '.join(kinds)} changed"


Likeness = Callable[[Key], Hashable]


def wheel_keys(record: RunRecord) -> tuple[Key, ...]:
    """Every wheel that the run has verdicts on, once."""
    return tuple(dict.fromkeys((v.wheel, v.wheel_sha256) for v in record.verdicts))


def pair_wheels(old: RunRecord, new: RunRecord) -> Mapping[Key, Key]:
    """Wheels of `new` and the wheel of `old` that each one follows; absent where there is none.

    The same file name first; then, among what is left, the same project and tags with another
    version, if that is unambiguous on both sides.
    """
    before, after = wheel_keys(old), wheel_keys(new)
    pairs = _pair(before, after, _same_bytes)
    for likeness in (_same_name, _same_tags):
        left = [key for key in before if key not in pairs.values()]
        right = [key for key in after if key not in pairs]
        pairs |= _pair(left, right, likeness)
    return pairs


def _same_bytes(key: Key) -> Hashable:
    return key


def _same_name(key: Key) -> Hashable:
    return key[0]


def _same_tags(key: Key) -> Hashable:
    """Project and tags, without version and build tag."""
    parts = key[0].removesuffix(".whl").split("-")
    if len(parts) < len(("name", "version", "python", "abi", "platform")):
        return key[0]
    return (parts[0].lower(), *parts[-3:])


def _pair(old: Iterable[Key], new: Iterable[Key], likeness: Likeness) -> dict[Key, Key]:
    """Pairs of keys that are alike and alone in their likeness, on either side."""
    before, after = _alone(old, likeness), _alone(new, likeness)
    return {after[like]: before[like] for like in after if like in before}


def _alone(keys: Iterable[Key], likeness: Likeness) -> dict[Hashable, Key]:
    groups: dict[Hashable, list[Key]] = {}
    for key in keys:
        groups.setdefault(likeness(key), []).append(key)
    return {like: group[0] for like, group in groups.items() if len(group) == 1}


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
