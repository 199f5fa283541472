"""How far a wheel reaches: distros by C library, until the end of their lives.

A picture is a table with one bar a distro, so that it can be read aloud and fits a phone. The bars
are SVG rectangles on an axis of years; wheels that fare alike share a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.policy import Libc, Policy, policy_of_platform_tag
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.matrix import Grid, Key, Row
from pytest_manylinux.report.phrases import outcome_words

_YEARS_SHOWN = 6
_LETTERS = {
    Outcome.PORTABLE: "p",
    Outcome.NOT_PORTABLE: "n",
    Outcome.EXPECTED: "e",
    Outcome.NOT_PROVEN: "u",
    None: "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One distro: `width` of its bar in percent of the axis; `below` the wheel's policy or not."""

    distro: str
    libc: str
    libc_name: str
    letter: str
    words: str
    until: str
    width: float
    rolling: bool
    below: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachPicture:
    """One picture. `now` is today's place on the axis in percent, `years` its ticks."""

    wheels: tuple[str, ...]
    policy: str
    summary: str
    lanes: tuple[Lane, ...]
    years: tuple[int, ...]
    now: float


def reaches(
    layout: Grid, distros: Mapping[str, Distro], *, today: date
) -> tuple[list[ReachPicture], dict[Key, int]]:
    """The pictures, each wheel's place among them; none for distros that nothing is known of."""
    known = sorted(
        {column.distro for column in layout.columns if column.distro in distros},
        key=lambda name: (distros[name].libc, name),
    )
    if not known:
        return [], {}
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in layout.rows:
        outcomes = _outcomes(layout, row)
        if not outcomes or not row.sha256:
            continue  # never tried, or never a wheel
        signature = (_policy(row.wheel), tuple(outcomes.get(name) for name in known))
        groups.setdefault(signature, []).append(row)
    found: list[ReachPicture] = []
    places: dict[Key, int] = {}
    for rows in groups.values():
        places |= {(row.wheel, row.sha256): len(found) for row in rows}
        found.append(_reach(rows, [distros[name] for name in known], _outcomes(layout, rows[0]), today))
    return found, places


def _outcomes(layout: Grid, row: Row) -> dict[str, Outcome]:
    """How the wheel fared on each distro: the worst of its interpreters."""
    order = (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN, Outcome.EXPECTED, Outcome.PORTABLE)
    found: dict[str, Outcome] = {}
    for column, verdict in zip(layout.columns, row.cells, strict=True):
        if verdict is not None:
            known = found.get(column.distro, verdict.outcome)
            found[column.distro] = min(known, verdict.outcome, key=order.index)
    return found


def _policy(wheel: str) -> Policy | None:
    """The oldest policy that the file name promises; None for what promises none."""
    platforms = wheel.removesuffix(".whl").rpartition("-")[2].split(".")
    found = [split[0] for p in platforms if (split := policy_of_platform_tag(p)) is not None]
    return min(found, default=None)


def _reach(
    rows: list[Row], distros: list[Distro], outcomes: Mapping[str, Outcome], day: date
) -> ReachPicture:
    policy = _policy(rows[0].wheel)
    ends = [distro.end_of_life for distro in distros if distro.end_of_life is not None]
    first = min([day, *ends]).year
    last = max([date(day.year + 1, 1, 1), *ends]).year + 1
    step = -(-(last - first) // _YEARS_SHOWN)
    last += -(last - first) % step  # whole steps, so that all ticks are equally far apart
    axis = _Axis(first, last)
    lanes = tuple(_lane(distro, outcomes.get(distro.id), policy, axis) for distro in distros)
    return ReachPicture(
        wheels=tuple(row.wheel for row in rows),
        policy="" if policy is None else str(policy.libc),
        summary=_summary(distros, outcomes, day),
        lanes=lanes,
        years=tuple(range(first, last, step)),
        now=axis.place(day),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    first: int
    last: int

    def place(self, day: date) -> float:
        """Percent from the left."""
        start, end = date(self.first, 1, 1).toordinal(), date(self.last, 1, 1).toordinal()
        return round(100 * (day.toordinal() - start) / (end - start), 2)


def _lane(distro: Distro, outcome: Outcome | None, policy: Policy | None, axis: _Axis) -> Lane:
    end = distro.end_of_life
    return Lane(
        distro=distro.id,
        libc=_number(distro.libc),
        libc_name=str(distro.libc),
        letter=_LETTERS[outcome],
        words="not tried" if outcome is None else outcome_words(outcome),
        until=end.isoformat() if end is not None else ("rolling" if distro.rolling else "not known"),
        width=100.0 if end is None else axis.place(end),
        rolling=end is None,
        below=policy is not None and not distro.libc.keeps(policy),
    )


def _number(libc: Libc) -> str:
    """The version; with its name where that is not glibc, which most distros have."""
    return libc.number if libc.is_glibc() else str(libc)


def _summary(distros: list[Distro], outcomes: Mapping[str, Outcome], day: date) -> str:
    """The picture in a sentence."""
    works = [d for d in distros if outcomes.get(d.id) in {Outcome.PORTABLE, Outcome.EXPECTED}]
    if not works:
        return "it works nowhere that it was tried"
    alive = [d for d in works if d.end_of_life is None or d.end_of_life >= day]
    oldest = works[0]
    return (
        f"works on {len(works)} of {len(outcomes)} distros that it was tried on,"
        f" {len(alive)} of them still supported; the oldest {oldest.libc.kind.value} among them is"
        f" {oldest.libc.number} ({oldest.id})"
    )
