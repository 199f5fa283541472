"""The catalogue as a value: find distros by ids, aliases, groups, patterns; and its age."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone

from pytest_manylinux.errors import UsageError, nearest
from pytest_manylinux.model.distro import Distro

DEFAULT, EMBEDDED, MUSL = "default", "embedded", "musl"
"""The groups that a run takes unasked: with a registry's images, and without."""

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All distros of a run. `version` is a digest of the rows and groups that it was made from.

    `checked` is the day on which the packaged figures were last held against their sources (the
    oldest day, where files differ). `kept` gives, per group, the reason for each member that stays
    past its end of life.
    """

    distros: tuple[Distro, ...]
    groups: Mapping[str, tuple[str, ...]]
    version: str
    checked: date | None = None
    kept: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _by_name: dict[str, Distro] = field(default_factory=dict, init=False, repr=False, compare=False)

    def get(self, word: str, *, where: str = "") -> Distro:
        """Find a distro by id, alias or image (`debian-12`, `bookworm`, `debian:12-slim`).

        Raises UsageError with the nearest right word; `where` names the setting.
        """
        found = self._names().get(_normal(word))
        if found is None:
            raise self._unknown(word, [*self._names()], where=where)
        return found

    def select(self, words: Sequence[str], *, where: str = "") -> tuple[Distro, ...]:
        """Find the distros that ids, aliases, groups and patterns such as `debian-*` name.

        Each distro comes once, in the order of the words. Raises UsageError.
        """
        found: dict[str, Distro] = {}
        for word in words:
            for distro in self._expand(word, where=where):
                found.setdefault(distro.id, distro)
        return tuple(found.values())

    @property
    def group_names(self) -> tuple[str, ...]:
        """Every word that stands for a group."""
        return (*self.groups, *_COMPUTED)

    def _expand(self, word: str, *, where: str) -> tuple[Distro, ...]:
        if word in self.groups:
            return self.select(self.groups[word], where=f"group {word}")
        if word in _COMPUTED:
            return tuple(_COMPUTED[word](self.distros))
        if _PATTERN.search(word):
            matched = tuple(d for d in self.distros if fnmatch.fnmatchcase(d.id, _normal(word)))
            if matched:
                return matched
        known = [*self._names(), *self.group_names]
        if _normal(word) not in self._names():
            raise self._unknown(word, known, where=where)
        return (self.get(word, where=where),)

    def _names(self) -> dict[str, Distro]:
        if not self._by_name:
            images = {_normal(d.image): d for d in reversed(self.distros) if d.image}
            aliases = {_normal(alias): d for d in self.distros for alias in d.aliases}
            self._by_name.update({**images, **aliases, **{d.id: d for d in self.distros}})
        return self._by_name

    @staticmethod
    def _unknown(word: str, known: Sequence[str], *, where: str) -> UsageError:
        hint = nearest(_normal(word), known)
        return UsageError(
            f"{where + ': ' if where else ''}no distro is called {word!r}",
            remedy=f"{hint}`pytest-manylinux catalogue` lists them all",
        )


def is_supported(distro: Distro, today: date | None = None) -> bool:
    """Whether its makers still update it on `today` (default: this day, UTC)."""
    day = today or datetime.now(tz=timezone.utc).date()
    return distro.end_of_life is None or distro.end_of_life >= day


def _normal(word: str) -> str:
    return word.strip().lower().replace(":", "-")


def _supported(distros: Sequence[Distro]) -> list[Distro]:
    return [d for d in distros if is_supported(d)]


def _oldest(distros: Sequence[Distro]) -> list[Distro]:
    """The supported release with the oldest C library of each family."""
    found: dict[str, Distro] = {}
    for distro in _supported(distros):
        best = found.get(distro.family)
        if not distro.rolling and (best is None or distro.libc < best.libc):
            found[distro.family] = distro
    return list(found.values())


_COMPUTED: Mapping[str, Callable[[Sequence[Distro]], Sequence[Distro]]] = {
    "supported": _supported,
    "oldest": _oldest,
    "all": tuple,
}


LIMIT = 120
"""Days after which the figures are too old for a release: within six months, Fedora and Ubuntu have
each a new release, and an older one that has ended."""


def age(catalogue: Catalogue, day: date) -> int | None:
    """Days since the figures were held against their sources; None if that is not known."""
    return None if catalogue.checked is None else (day - catalogue.checked).days


def ended_members(catalogue: Catalogue, day: date) -> Iterator[tuple[str, str]]:
    """Each fixed group with each member that is past its end on `day` and not kept for a reason."""
    for group, members in catalogue.groups.items():
        for name in members:
            distro = catalogue.get(name)
            if not is_supported(distro, day) and distro.id not in catalogue.kept.get(group, {}):
                yield group, distro.id


def faults_at_release(catalogue: Catalogue, day: date) -> Iterator[str]:
    """What keeps the catalogue from a release on `day`, a line each."""
    days = age(catalogue, day)
    if days is None or days > LIMIT:
        yield (
            f"the figures were held against their sources on {catalogue.checked}, "
            f"more than {LIMIT} days before {day}: do so again, and date the files of distros/"
        )
    for group, name in ended_members(catalogue, day):
        yield (
            f"group {group}: {name} ended on {catalogue.get(name).end_of_life}: take it out, "
            "or give the reason that keeps it in groups.toml"
        )
