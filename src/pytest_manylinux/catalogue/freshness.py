"""How old the packaged figures are, and which members of fixed groups are past their end of life.

Pure: the day comes from the caller, so that a test of a commit gives the same answer on any day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pytest_manylinux.catalogue.lookup import Catalogue, is_supported

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
