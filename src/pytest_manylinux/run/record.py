"""The record of a run, gathered from test reports so that it is the same under pytest-xdist."""

from __future__ import annotations

import json
import pickle
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pytest_manylinux import __version__
from pytest_manylinux.config.keys import KEYS
from pytest_manylinux.config.settings import WHOLE, GateRule, IgnoreRule, Settings
from pytest_manylinux.model.distro import Distro, split_target_id
from pytest_manylinux.model.run import (
    BuildRecord,
    RunRecord,
    SettingRecord,
    ShardRecord,
    WheelRecord,
)
from pytest_manylinux.model.verdict import Expectation, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """What one item adds to the record.

    `unproven` tells of a build that failed for a lack of the machine, not by the project's fault,
    `skipped` that the verdict, which is that nothing was tried, fails nothing.
    """

    verdict: Verdict | None = None
    wheel: WheelRecord | None = None
    build: BuildRecord | None = None
    unproven: bool = False
    skipped: bool = False

    @property
    def remembered(self) -> bool:
        """Whether an earlier run saw what the verdict rests on, or built the wheel."""
        seen = None if self.verdict is None else self.verdict.observation
        if seen is not None:
            return seen.remembered
        return self.verdict is None and self.build is not None and self.build.remembered

    def dump(self) -> bytes:
        """Bytes that a test report can carry from a worker to its controller."""
        return pickle.dumps(self)


def load_item_record(data: bytes) -> ItemRecord:
    """Read what `ItemRecord.dump` wrote; only ever bytes of this run's own workers."""
    entry = pickle.loads(data)  # noqa: S301
    if not isinstance(entry, ItemRecord):
        raise TypeError(f"not an entry: {type(entry)}")
    return entry


@dataclass(slots=True)
class Recorder:
    """Entries as they come, and counts of what failed."""

    started: float = field(default_factory=time.time)
    verdicts: list[Verdict] = field(default_factory=list)
    builds: list[BuildRecord] = field(default_factory=list)
    failed: int = 0
    not_proven: int = 0
    skipped: int = 0
    _wheels: dict[tuple[str, str], WheelRecord] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)  # `started` may be set back meanwhile

    def add(self, entry: ItemRecord) -> None:
        """Take an entry; a wheel that is known already is completed, not repeated.

        The wheel comes first: Ctrl-C can be in the middle of this, and a proof has no verdict on a
        wheel that it does not name.
        """
        if entry.wheel is not None:
            self._add_wheel(entry.wheel)
        if entry.build is not None:
            self.builds.append(entry.build)
        if entry.verdict is not None:
            self.verdicts.append(entry.verdict)
            self.skipped += entry.skipped
            self.not_proven += entry.verdict.outcome is Outcome.NOT_PROVEN and not entry.skipped
        self.not_proven += entry.unproven

    def _add_wheel(self, wheel: WheelRecord) -> None:
        key = (wheel.group, wheel.sha256)
        known = self._wheels.get(key, wheel)
        self._wheels[key] = replace(
            known, audit=wheel.audit or known.audit, build=known.build or wheel.build
        )

    @property
    def only_not_proven(self) -> bool:
        """Whether every failure of the session is a verdict that could not be reached."""
        return 0 < self.failed == self.not_proven

    @property
    def nothing_tried(self) -> bool:
        """Whether wheels were left out and none was tried: then nothing was proven."""
        subjects = (verdict.subject for verdict in self.verdicts if verdict.subject != "audit")
        return self.skipped > 0 and all(split_target_id(subject) is None for subject in subjects)

    def record(
        self,
        settings: Settings,
        *,
        engine: tuple[str, str],
        pytest_version: str,
        distros: tuple[Distro, ...],
        catalogue_version: str,
        shard: ShardRecord | None = None,
        pins: tuple[tuple[str, str], ...] = (),
    ) -> RunRecord:
        """The run as a value. `engine` is (name, version), empty strings if there was none."""
        return RunRecord(
            started=self.started,
            duration=time.monotonic() - self._begun,
            tool_version=__version__,
            pytest_version=pytest_version,
            host_python=platform.python_version(),
            kernel=f"{sys.platform} {platform.release()}",
            engine=engine[0],
            engine_version=engine[1],
            settings=setting_records(settings),
            distros=distros,
            catalogue_version=catalogue_version,
            shard=shard,
            pins=pins,
            wheels=tuple(self._wheels.values()),
            builds=tuple(self.builds),
            verdicts=tuple(self.verdicts),
        )


def setting_records(settings: Settings) -> tuple[SettingRecord, ...]:
    """Every setting as text, with its source."""
    return tuple(
        SettingRecord(
            name=key.name,
            value=shown(getattr(settings, key.field)),
            source=str(settings.source(key.name)),
        )
        for key in KEYS
    )


def shown(value: object) -> str:  # noqa: PLR0911 - one for each kind of setting
    """A setting's value as a person would write it."""
    match value:
        case tuple() | list():
            between = "; " if any(isinstance(part, _SENTENCES) for part in value) else " "
            return between.join(shown(part) for part in value)
        case float() if value.is_integer():
            return str(int(value))
        case Expectation():
            finding = f"{value.finding} {value.test}".strip()
            return f"{finding} on {_any(value.distro, 'distro')} ({value.reason})"
        case IgnoreRule():
            place = f"on {_any(value.distro, 'distro')} in {_any(value.file, 'file')}"
            return f"{value.finding} {place}: {value.severity} ({value.reason})"
        case GateRule():
            return "; ".join(_gate_words(value))
        case Mapping():
            return json.dumps(dict(value), default=str, ensure_ascii=False)
        case _:
            return str(value)


_SENTENCES = (Expectation, IgnoreRule, Mapping)


def _any(word: str, noun: str) -> str:
    return f"any {noun}" if word == "*" else word


def _gate_words(rule: GateRule) -> Iterator[str]:
    yield f"requires {' '.join(rule.require) or 'every distro of the run'}"
    yield f"verdicts at most {rule.max_age:g} days old" if rule.max_age else "verdicts of any age"
    yield f"signed by {' or '.join(rule.signed_by)}" if rule.signed_by else "no signature asked for"
    yield f"ignored findings and declared faults {'allowed' if rule.allow_ignored else 'refused'}"
    yield f"the project's own tests {'required' if rule.require_tests else 'not required'}"
    yield f"wheels for other systems: {rule.other_platforms}"
    if rule.require_coverage < WHOLE:
        yield f"at least {rule.require_coverage:g} % of the wheels for Linux proven"
    if rule.index.name != "pypi":
        yield f"package index: {rule.index.name}"
