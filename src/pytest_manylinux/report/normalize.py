"""A run as reports and proofs keep it: in a fixed order, bounded, with nothing of the host's in it.

What is dropped: folders of the host, credentials in addresses, pip's words and output of trials that
passed, all but the tail of long texts. Canonical form is what a proof gives back when it is read.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.observation import (
    ImportOutcome,
    LoadedLibrary,
    Observation,
    SuiteOutcome,
)
from pytest_manylinux.model.run import BuildRecord, RunRecord, WheelRecord
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.report.matrix import distinct
from pytest_manylinux.report.proof_schema import without_recipe

# Characters kept of one text; the end of a log or traceback is where its point is.
TEXT_BOUND = 8000
_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@")


def canonical(record: RunRecord) -> RunRecord:
    """The record in canonical form; doing it twice changes nothing."""
    return replace(
        record,
        settings=tuple(
            replace(setting, value=_redacted(setting.value))
            for setting in sorted(record.settings, key=lambda s: s.name)
        ),
        wheels=_wheels(record.wheels),
        builds=tuple(sorted((_build(b) for b in record.builds), key=_build_order)),
        verdicts=_verdicts(record),
        pins=tuple(sorted(record.pins)),
        distros=tuple(map(without_recipe, record.distros)),
    )


def without_surrogates(record: RunRecord) -> RunRecord:
    """Spell out lone surrogates, which UTF-8 cannot hold: a file name of other bytes has some."""
    spelt = _spelt(record)
    if not isinstance(spelt, RunRecord):
        raise TypeError(type(spelt))
    return spelt


def _spelt(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Path):
        return Path(str(_spelt(str(value))))
    if isinstance(value, tuple):
        return tuple(_spelt(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _spelt(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **parts)
    return value


def _redacted(text: str) -> str:
    return _CREDENTIALS.sub(r"\g<scheme>[hidden]@", text)


def _tail(text: str) -> str:
    """The end of a text, whole lines if there are any, with credentials hidden."""
    clean = _redacted(text)
    if len(clean) <= TEXT_BOUND:
        return clean
    _, newline, rest = clean[-TEXT_BOUND:].partition("\n")
    return rest if newline and rest else clean[-TEXT_BOUND:]


def _wheels(records: Iterable[WheelRecord]) -> tuple[WheelRecord, ...]:
    """Each wheel once (name and bytes), the first record of it; sorted."""
    kept: dict[tuple[str, str], WheelRecord] = {}
    for record in records:
        build = None if record.build is None else _build(record.build)
        kept.setdefault((record.file, record.sha256), replace(record, path=None, build=build))
    return tuple(kept[key] for key in sorted(kept))


def _build(record: BuildRecord) -> BuildRecord:
    return replace(
        record,
        project=Path(record.project).name if record.project.startswith("/") else record.project,
        log=Path(record.log).name if record.log else "",
        error=_tail(record.error),
        tools=tuple(sorted(record.tools)),
        requirements=tuple(sorted(record.requirements)),
    )


def _build_order(record: BuildRecord) -> tuple[str, ...]:
    return (record.project, record.python, record.policy, record.wheel_sha256, record.error)


def _verdicts(record: RunRecord) -> tuple[Verdict, ...]:
    """By wheel; of a wheel the audit first, then the targets in the order of the distros."""
    places = {distro.id: index for index, distro in enumerate(record.distros)}

    def order(verdict: Verdict) -> tuple[str, str, int, str, str]:
        target = split_target_id(verdict.subject)
        place = -1 if target is None else places.get(target[0], len(places))
        return (verdict.wheel, verdict.wheel_sha256, place, verdict.subject, verdict.outcome.value)

    return tuple(sorted(distinct(_verdict(v) for v in record.verdicts), key=order))


def _verdict(verdict: Verdict) -> Verdict:
    seen = verdict.observation
    return replace(
        verdict,
        reason=_redacted(verdict.reason),
        observation=None if seen is None else _observation(seen, passes=verdict.outcome.passes),
    )


def _observation(seen: Observation, *, passes: bool) -> Observation:
    install = seen.install
    if install is not None:
        install = replace(
            install,
            output="" if passes else _tail(install.output),
            installed=tuple(sorted(install.installed)),
        )
    return replace(
        seen,
        install=install,
        imports=_imports(seen.imports),
        loader=tuple(check for check in seen.loader if not check.resolved),
        programs=tuple(replace(p, output=_tail(p.output)) for p in seen.programs),
        launches=tuple(replace(p, output=_tail(p.output)) for p in seen.launches),
        tests=None if seen.tests is None else _tests(seen.tests, passes=passes),
    )


def _tests(suite: SuiteOutcome, *, passes: bool) -> SuiteOutcome:
    """Counts, the tests that failed and the slowest; a suite that passed has nothing more to say."""
    short = suite.shortened()
    return replace(
        short,
        output="" if passes else _tail(short.output),
        cases=tuple(replace(case, words=_tail(case.words)) for case in short.cases),
    )


def _imports(outcomes: Iterable[ImportOutcome]) -> tuple[ImportOutcome, ...]:
    """Bounded texts; a library stays with the first import that had it loaded."""
    seen: set[LoadedLibrary] = set()
    kept = []
    for outcome in outcomes:
        fresh = sorted(set(outcome.loaded) - seen, key=lambda lib: (lib.path, lib.from_wheel))
        seen.update(fresh)
        kept.append(
            replace(
                outcome,
                loaded=tuple(fresh),
                traceback=_tail(outcome.traceback),
                message=_tail(outcome.message),
                output=_tail(outcome.output),
            )
        )
    return tuple(kept)
