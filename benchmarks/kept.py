"""What was measured before, so that one part can be measured anew and the page still has them all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from figures import Part, Row, machine


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one part of the benchmarks gave on one day, on one machine; `day` is ISO 8601's."""

    day: str
    where: str
    parts: tuple[Part, ...]


def measured(parts: Sequence[Part]) -> Measured:
    """Here and today."""
    return Measured(
        day=f"{datetime.now(tz=timezone.utc):%Y-%m-%d}", where=machine(), parts=tuple(parts)
    )


def load(path: Path) -> dict[str, Measured]:
    """What is kept of this machine; figures of two machines do not go onto one page."""
    if not path.exists():
        return {}
    kept = {name: _read(item) for name, item in json.loads(path.read_text(encoding="utf-8")).items()}
    return {name: item for name, item in kept.items() if item.where == machine()}


def save(path: Path, kept: dict[str, Measured]) -> None:
    """Keep all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {name: asdict(item) for name, item in kept.items()}
    path.write_text(json.dumps(told, indent=1), encoding="utf-8")


def _read(item: dict[str, object]) -> Measured:
    parts = item["parts"]
    assert isinstance(parts, list)
    found = [Part(**{**part, "rows": tuple(Row(**row) for row in part["rows"])}) for part in parts]
    return Measured(day=str(item["day"]), where=str(item["where"]), parts=tuple(found))


def days(kept: Iterable[Measured]) -> str:
    """The day, or the first and the last one."""
    found = sorted({item.day for item in kept})
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"
