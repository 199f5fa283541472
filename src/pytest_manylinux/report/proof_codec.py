"""A canonical run as the proof's types, and back: nothing is lost either way.

Most parts have the same fields on both sides and are converted by name; wheels and distros, which
hold values of their own kinds, are written out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from packaging.tags import Tag, parse_tag

from pytest_manylinux.errors import ProofError, UsageError
from pytest_manylinux.model.distro import Distro, Interpreter
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import (
    BuildRecord,
    MergedRecord,
    RunRecord,
    SettingRecord,
    ShardRecord,
    WheelRecord,
)
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.model.wheel import Audit, Wheel
from pytest_manylinux.report import proof_schema

_T = TypeVar("_T")


def statement_of(record: RunRecord) -> proof_schema.Statement:
    """The run as a statement without a seal. `record` is canonical."""
    return proof_schema.Statement(
        type_=proof_schema.STATEMENT_TYPE,
        subject=tuple(
            proof_schema.Subject(
                name=w.wheel.filename, digest=proof_schema.Digest(sha256=w.wheel.sha256)
            )
            for w in record.wheels
        ),
        predicate_type=proof_schema.PREDICATE_TYPE,
        predicate=proof_schema.Predicate(
            seal="",
            run=_like(record, proof_schema.Run),
            distros=tuple(_distro_row(distro) for distro in record.distros),
            wheels=tuple(_wheel_row(wheel) for wheel in record.wheels),
            builds=_each(record.builds, proof_schema.BuildRow),
            verdicts=_each(record.verdicts, proof_schema.VerdictRow),
        ),
    )


def record_of(statement: proof_schema.Statement) -> RunRecord:
    """The run that a statement tells of; raises ProofError for words that mean nothing."""
    predicate, run = statement.predicate, statement.predicate.run
    try:
        return RunRecord(
            started=run.started,
            duration=run.duration,
            tool_version=run.tool_version,
            pytest_version=run.pytest_version,
            host_python=run.host_python,
            kernel=run.kernel,
            engine=run.engine,
            engine_version=run.engine_version,
            catalogue_version=run.catalogue_version,
            settings=_each(run.settings, SettingRecord),
            pins=run.pins,
            shard=_perhaps(run.shard, ShardRecord),
            merged=_each(run.merged, MergedRecord),
            distros=tuple(_distro(row) for row in predicate.distros),
            wheels=tuple(_wheel_record(row) for row in predicate.wheels),
            builds=_each(predicate.builds, BuildRecord),
            verdicts=_each(predicate.verdicts, Verdict),
        )
    except (UsageError, ValueError) as error:
        raise ProofError("no proof that this version reads", why=str(error)) from error


def _like(value: object, kind: type[_T]) -> _T:
    """The value as another type with the same fields; fields that the other lacks are left out."""
    return msgspec.convert(value, kind, from_attributes=True)


def _each(values: tuple[Any, ...], kind: type[_T]) -> tuple[_T, ...]:
    return tuple(_like(value, kind) for value in values)


def _perhaps(value: object | None, kind: type[_T]) -> _T | None:
    return None if value is None else _like(value, kind)


def _distro_row(distro: Distro) -> proof_schema.DistroRow:
    return proof_schema.DistroRow(
        id=distro.id,
        family=distro.family,
        release=distro.release,
        title=distro.title,
        glibc=distro.glibc,
        architectures=distro.architectures,
        pythons=tuple(i.version.dotted for i in distro.interpreters),
        end_of_life=distro.end_of_life,
        rolling=distro.rolling,
    )


def _distro(row: proof_schema.DistroRow) -> Distro:
    return Distro(
        id=row.id,
        family=row.family,
        release=row.release,
        title=row.title,
        glibc=row.glibc,
        architectures=row.architectures,
        interpreters=tuple(
            Interpreter(version=parse_python(python), executable="", packages=())
            for python in row.pythons
        ),
        package_manager="",
        end_of_life=row.end_of_life,
        rolling=row.rolling,
    )


def _wheel_row(record: WheelRecord) -> proof_schema.WheelRow:
    wheel = record.wheel
    return proof_schema.WheelRow(
        file=wheel.filename,
        sha256=wheel.sha256,
        size=wheel.size,
        name=wheel.name,
        version=wheel.version,
        build_tag=wheel.build,
        tags=tuple(sorted(str(tag) for tag in wheel.tags)),
        group=record.group,
        audit=_perhaps(record.audit, proof_schema.AuditRow),
        build=_perhaps(record.build, proof_schema.BuildRow),
    )


def _wheel_record(row: proof_schema.WheelRow) -> WheelRecord:
    return WheelRecord(
        wheel=Wheel(
            path=Path(row.file),
            sha256=row.sha256,
            size=row.size,
            name=row.name,
            version=row.version,
            build=row.build_tag,
            tags=frozenset(_tag(text) for text in row.tags),
        ),
        group=row.group,
        audit=_perhaps(row.audit, Audit),
        build=_perhaps(row.build, BuildRecord),
    )


def _tag(text: str) -> Tag:
    tags = parse_tag(text)
    if len(tags) != 1:
        raise ValueError(f"{text!r} is not one compatibility tag")
    return next(iter(tags))
