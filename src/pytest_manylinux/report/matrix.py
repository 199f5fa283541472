"""The matrix that terminal, HTML and Markdown show: wheels down, targets across."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_manylinux.model.distro import Distro, split_target_id
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict, distinct
from pytest_manylinux.report.labels import LabelGroup, grouped_labels, shortened, wheel_name
from pytest_manylinux.report.phrases import counted

# The worst first: of several verdicts in one cell the worst is shown.
SEVERITY_ORDER = (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN, Outcome.EXPECTED, Outcome.PORTABLE)

Key = tuple[str, str]
"""A wheel in one run: file name and SHA-256; the digest is empty for what was never built."""


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A distro; one interpreter of it where a wheel was tried on several.

    `pythons` are the tags of the interpreters that the column's trials used, the oldest first;
    `arch` is empty where all columns have the same, and where the names of its wheels say it.
    """

    distro: str
    pythons: tuple[str, ...]
    arch: str = ""

    @property
    def label(self) -> str:
        """Such as `debian-12 cp311`; of several Pythons none is named."""
        python = self.pythons[0] if len(self.pythons) == 1 else ""
        return " ".join(filter(None, (self.distro, python, self.arch)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One wheel (or what should have become one: then `sha256` is empty).

    `general` are its verdicts that belong to no target (the audit, no target that fits);
    `cells` has one entry a column, None where there was no trial. A wheel that no target takes has
    what says so in every cell. `mark` tells files of one name apart: its folder, or its digest's start.
    """

    wheel: str
    sha256: str
    general: tuple[Verdict, ...]
    cells: tuple[Verdict | None, ...]
    mark: str = ""

    @property
    def audit(self) -> Verdict | None:
        """Its audit's verdict, the worst of several; None if it was not audited."""
        return worst(verdict for verdict in self.general if verdict.subject == AUDIT)

    @property
    def passes(self) -> bool:
        """Whether all verdicts on it are passes."""
        found = (*self.general, *self.cells)
        return all(verdict is None or verdict.outcome.passes for verdict in found)

    @property
    def is_wheel(self) -> bool:
        """Whether there is a file of it, rather than a project that became none."""
        return bool(self.sha256) or self.wheel.endswith(".whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows by wheel, columns in the order of the catalogue; `counts` are over all verdicts.

    `unbuilt` is how many of those that are not proven have no wheel because its build failed.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    counts: Counter[Outcome]
    unbuilt: int = 0

    @property
    def audited(self) -> bool:
        """Whether there is a column for audits."""
        return any(row.audit is not None for row in self.rows)

    @property
    def size_words(self) -> str:
        """How many wheels, and where: `2 wheels (1 passes), 1 without a wheel, 4 distros`."""
        wheels = [row for row in self.rows if row.is_wheel]
        passing = sum(row.passes for row in wheels)
        without = len(self.rows) - len(wheels)
        distros = {column.distro for column in self.columns if column != NO_TARGET}
        parts = [
            f"{counted(len(wheels), 'wheel')} ({passing} {'passes' if passing == 1 else 'pass'})",
            f"{without} without a wheel" if without else "",
            counted(len(distros), "distro"),
            counted(sum(self.counts.values()), "verdict"),
        ]
        return ", ".join(filter(None, parts))


AUDIT = "audit"
_DIGITS = 8  # of a digest, to tell a few files apart
_MARK = 24  # characters of a folder
NO_TARGET = Column("no target", ())
"""The column of a run in which nothing has a target."""


def is_unbuilt(verdict: Verdict) -> bool:
    """Whether there is no wheel to judge because its build failed, which is told of the build."""
    without = not verdict.wheel_sha256 and not verdict.wheel.endswith(".whl")
    unproven = verdict.outcome is Outcome.NOT_PROVEN
    return without and unproven and verdict.cause is not Cause.NO_TARGET


def grid(record: RunRecord) -> Grid:
    """Arrange a run's verdicts."""
    verdicts = distinct(record.verdicts)
    columns = _columns(verdicts)
    ordered = _ordered(columns.values(), {distro.id: distro for distro in record.distros})
    if not ordered and any(verdict.subject != AUDIT for verdict in verdicts):
        ordered = (NO_TARGET,)
    by_wheel: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        by_wheel.setdefault((verdict.wheel, verdict.wheel_sha256), []).append(verdict)
    marks = _marks(by_wheel, record)
    rows = (
        replace(_row(*key, by_wheel[key], columns, ordered), mark=marks.get(key, ""))
        for key in sorted(by_wheel, key=lambda key: wheel_order(*key))
    )
    return Grid(
        columns=ordered,
        rows=tuple(rows),
        counts=Counter(verdict.outcome for verdict in verdicts),
        unbuilt=sum(map(is_unbuilt, verdicts)),
    )


def _marks(keys: Iterable[Key], record: RunRecord) -> dict[Key, str]:
    """What tells files of one name apart: their folders, where those differ, else their digests."""
    namesakes: dict[str, list[Key]] = {}
    for key in keys:
        namesakes.setdefault(key[0], []).append(key)
    folders = {(one.file, one.sha256): _folder(one.group) for one in record.wheels}
    marks: dict[Key, str] = {}
    for same in (same for same in namesakes.values() if len(same) > 1):
        own = {key: shortened(folders.get(key, ""), _MARK) for key in same}
        differ = all(own.values()) and len(set(own.values())) == len(same)
        marks |= own if differ else {key: key[1][:_DIGITS] for key in same}
    return marks


def _folder(group: str) -> str:
    """Where a wheel lies that was given, or the project that it was built from."""
    return (posixpath.dirname(group) or ".") if group.endswith(".whl") else group


def row_labels(
    rows: Sequence[Row], width: int, *, most: int | None = None, indent: str = ""
) -> tuple[LabelGroup, ...]:
    """`grouped_labels` of the rows' wheels, with what tells files of one name apart at their ends."""
    ends = [f" ({row.mark})" if row.mark else "" for row in rows]
    room = max(map(len, ends), default=0)
    each = iter(ends)
    groups = grouped_labels(
        [row.wheel for row in rows],
        width - room,
        most=None if most is None else most - room,
        indent=indent,
    )
    return tuple(
        replace(group, labels=tuple(f"{label}{next(each)}" for label in group.labels))
        for group in groups
    )


def _columns(verdicts: Sequence[Verdict]) -> dict[str, Column]:
    """The column of each target id. Wheels of cp39 and cp311 share a distro's column."""
    targets = {
        verdict.subject: target
        for verdict in verdicts
        if (target := split_target_id(verdict.subject)) is not None
    }
    archs = _told_archs(verdicts, targets)
    trials = {(v.wheel, v.wheel_sha256, targets[v.subject]) for v in verdicts if v.subject in targets}
    by_place = Counter(
        (wheel, sha256, distro, archs[distro, arch]) for wheel, sha256, (distro, _, arch) in trials
    )
    split = {(distro, arch) for (_, _, distro, arch), count in by_place.items() if count > 1}
    pythons: dict[tuple[str, str], set[str]] = {}
    for distro, python, arch in targets.values():
        pythons.setdefault((distro, archs[distro, arch]), set()).add(python)

    def column(distro: str, python: str, arch: str) -> Column:
        told = archs[distro, arch]
        tags = {python} if (distro, told) in split else pythons[distro, told]
        ordered = tuple(sorted(tags, key=lambda tag: tuple(_natural(tag))))
        return Column(distro, ordered, told)

    return {subject: column(*target) for subject, target in targets.items()}


def _told_archs(
    verdicts: Iterable[Verdict], targets: Mapping[str, tuple[str, str, str]]
) -> dict[tuple[str, str], str]:
    """What the columns of a distro and architecture say of the latter: nothing where rows say it.

    A release's wheels are for eight architectures, each wheel for one, which its name has: they
    share a distro's column. A wheel for any architecture needs to be told where it was tried.
    """
    several = len({arch for _, _, arch in targets.values()}) > 1
    told = {(distro, arch): "" for distro, _, arch in targets.values()}
    for verdict in verdicts:
        if several and verdict.subject in targets:
            distro, _, arch = targets[verdict.subject]
            name = wheel_name(verdict.wheel)
            if name is None or name.arch != arch:
                told[distro, arch] = arch
    return told


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict that decides among several; None if there is none."""
    return min(verdicts, key=lambda v: SEVERITY_ORDER.index(v.outcome), default=None)


def wheel_order(wheel: str, sha256: str) -> tuple[object, ...]:
    """A sort key: project, version, interpreter (cp39 before cp311), architecture, policy."""
    name = wheel_name(wheel)
    if name is None:
        parts = wheel.removesuffix(".whl").split("-")
    else:
        parts = [name.project, name.version, name.python, name.arch, name.policy]
    return (tuple(tuple(_natural(part)) for part in parts), sha256)


_PYTHON = re.compile(r"(?P<kind>cp|pp|graalpy)(?P<major>[23])(?P<minor>[0-9]+)(?P<rest>.*)", re.DOTALL)


def _natural(text: str) -> Iterable[tuple[int, int, str]]:
    """Digits compare as numbers; in `cp311` the first digit is the major version."""
    if match := _PYTHON.fullmatch(text):
        release = [(0, int(match["major"]), ""), (0, int(match["minor"]), "")]
        return [(1, 0, match["kind"]), *release, *_natural(match["rest"])]
    pieces: list[tuple[int, int, str]] = []
    for is_number, run in _runs(text):
        pieces.append((0, int(run), "") if is_number else (1, 0, run))
    return pieces


def _runs(text: str) -> Iterable[tuple[bool, str]]:
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _is_digit(text[end]) != _is_digit(text[start]):
            yield _is_digit(text[start]), text[start:end]
            start = end


def _is_digit(character: str) -> bool:
    return character in "0123456789"


def family_of(column: Column, distros: Mapping[str, Distro]) -> str:
    """The distro's family: the catalogue's word, else the first part of the id."""
    distro = distros.get(column.distro)
    return distro.family if distro is not None else column.distro.partition("-")[0]


def _ordered(columns: Iterable[Column], distros: Mapping[str, Distro]) -> tuple[Column, ...]:
    """Families together, in the order of their first distros; inside as the distros come."""
    places = {distro: place for place, distro in enumerate(distros)}
    families: dict[str, int] = {}
    for place, distro in enumerate(distros.values()):
        families.setdefault(distro.family, place)

    def key(column: Column) -> tuple[object, ...]:
        family = families.get(family_of(column, distros), len(places))
        place = places.get(column.distro, len(places))
        pythons = tuple(tuple(_natural(python)) for python in column.pythons)
        return (family, place, tuple(_natural(column.distro)), pythons, column.arch)

    return tuple(sorted(set(columns), key=key))


def _row(
    wheel: str,
    sha256: str,
    verdicts: Sequence[Verdict],
    columns: dict[str, Column],
    ordered: Sequence[Column],
) -> Row:
    cells: dict[Column, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.subject in columns:
            cells.setdefault(columns[verdict.subject], []).append(verdict)
    general = tuple(verdict for verdict in verdicts if verdict.subject not in columns)
    untried = None if cells else worst(verdict for verdict in general if verdict.subject != AUDIT)
    return Row(
        wheel=wheel,
        sha256=sha256,
        general=general,
        cells=tuple(worst(cells.get(column, ())) or untried for column in ordered),
    )
