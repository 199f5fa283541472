"""Which trial goes to which worker.

A worker offers things, a trial needs things; it fits if all of them are offered. For Dask they are
resources (https://distributed.dask.org/en/stable/resources.html), each as often as the worker does
trials at once, so that Dask's own scheduler keeps to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pytest_manylinux import __version__
from pytest_manylinux.cache.values import code_version

_PREFIX = "pytest-manylinux "
_DIGEST = 12  # characters, enough to tell versions apart
_ENGINE_VERSION = "engine version "


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker has.

    `distros` are ids of those that it can make an image of, or pull, or holds. `registry` tells that
    its engine takes images of registries.
    """

    arch: str
    engine: str
    engine_version: str
    registry: bool
    distros: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWorker:
    """A worker as the scheduler knows it: its name, what it offers, trials at once."""

    name: str
    offers: frozenset[str]
    places: int

    @property
    def engine(self) -> str:
        """Name and version of its engine; empty for a worker that is none of ours."""
        found = [word for word in self.offers if word.startswith(_ENGINE_VERSION)]
        return found[0].removeprefix(_ENGINE_VERSION) if found else ""

    def __str__(self) -> str:
        """For people: name, architecture, engine, places."""
        arch = " ".join(_values(self.offers, "architecture")) or "not of pytest-manylinux"
        return f"{self.name} ({arch}, {self.engine or 'no engine'}, {self.places} at once)"


def this_procedure() -> str:
    """The version of this tool, and of the code that does trials: both must be the same."""
    return f"version {__version__} {code_version('trials', 'trials.inside')[:_DIGEST]}"


def resources(offer: Offer, jobs: int) -> dict[str, float]:
    """An offer as Dask's resources."""
    words = [
        this_procedure(),
        f"architecture {offer.arch}",
        f"engine {offer.engine}",
        f"{_ENGINE_VERSION}{offer.engine} {offer.engine_version}",
        *(["registry images"] if offer.registry else []),
        *(f"distro {distro}" for distro in offer.distros),
    ]
    return {f"{_PREFIX}{word}": float(jobs) for word in words}


def asked(needs: Iterable[str]) -> dict[str, float]:
    """Needs as Dask's resources."""
    return {f"{_PREFIX}{need}": 1.0 for need in needs}


def member(name: str, found: Mapping[str, float]) -> ClusterWorker:
    """A worker from the resources that the scheduler tells of it."""
    ours = {key: count for key, count in found.items() if key.startswith(_PREFIX)}
    return ClusterWorker(
        name=name,
        offers=frozenset(key.removeprefix(_PREFIX) for key in ours),
        places=int(max(ours.values(), default=0)),
    )


def needs(*, arch: str, engine: str = "", registry: bool = False, distro: str = "") -> frozenset[str]:
    """What a trial needs: empty words and False need nothing."""
    words = [
        this_procedure(),
        f"architecture {arch}",
        f"engine {engine}" if engine else "",
        "registry images" if registry else "",
        f"distro {distro}" if distro else "",
    ]
    return frozenset(filter(None, words))


def fitting(needed: Collection[str], members: Iterable[ClusterWorker]) -> tuple[ClusterWorker, ...]:
    """The workers that offer all that is needed."""
    return tuple(one for one in members if one.offers.issuperset(needed))


def misfit(needed: Collection[str], members: Collection[ClusterWorker]) -> str:
    """Why no worker fits, in words."""
    if not members:
        return "no worker has joined the cluster"
    lacking = sorted(need for need in needed if not any(need in one.offers for one in members))
    count = f"{len(members)} worker{'s' if len(members) > 1 else ''}"
    if not lacking:
        return f"each of {count} lacks something of: {', '.join(sorted(needed))}"
    there = [f"{word} {' '.join(found)}" for word, found in _there(lacking, members)]
    said = f", but {', '.join(there)}" if there else ""
    return f"none of {count} offers {' and '.join(lacking)}{said}"


def _there(
    lacking: Iterable[str], members: Collection[ClusterWorker]
) -> Iterable[tuple[str, tuple[str, ...]]]:
    """For each kind of thing that is lacking, what there is of that kind."""
    for word in dict.fromkeys(need.partition(" ")[0] for need in lacking):
        found = _values({offer for one in members for offer in one.offers}, word)
        if found:
            yield word, found


def _values(offers: Iterable[str], word: str) -> tuple[str, ...]:
    """What is offered of one kind, `architecture` say."""
    kinds = (offer.partition(" ") for offer in offers if not offer.startswith(_ENGINE_VERSION))
    return tuple(sorted(value for kind, _, value in kinds if kind == word))
