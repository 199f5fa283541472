"""Predictions for whole projects: wheels of one version together, against a set of distros.

With them a project's reach: what it serves of the catalogue, and the one change that would widen it
most. A distro is served if one of the wheels works on one of its interpreters.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_manylinux.diagnose.predict import Certainty, Prediction, predict, targets_on
from pytest_manylinux.diagnose.tags import fits_python
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Finding
from pytest_manylinux.model.wheel import Wheel, WheelFacts
from pytest_manylinux.model.wheel_tags import asking

# What undoes a finding, as a change that one would make to the project; others have none in common.
_MISSING = "missing-library"
_OLDER_POLICY = "build for an older policy"
_CHANGES: Mapping[str, str] = {
    "glibc-too-old": _OLDER_POLICY,
    "symbol-too-new": _OLDER_POLICY,
    "relr-relocations": "link without packed relocations (DT_RELR)",
    "tag-unsupported-by-pip": "give the file the older alias of its tag too",
    "python-mismatch": "add wheels for more Pythons, or one for the stable ABI",
    "requires-python": "admit more Pythons",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredDistro:
    """One distro as the wheels meet it: the best prediction for any wheel and interpreter there."""

    distro: Distro
    best: Prediction
    wheel: str

    @property
    def works(self) -> bool:
        """Whether some wheel works on some interpreter of the distro."""
        return self.best.works


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyReach:
    """A family of distros, releases by age, and the oldest one that is served.

    `first_unserved` is the nearest release that is not: the newest of the older ones, else the oldest
    of the newer ones. Where none is served, `oldest` is None and it is the newest of all.
    """

    family: str
    served: tuple[CoveredDistro, ...]
    oldest: CoveredDistro | None
    first_unserved: CoveredDistro | None

    @property
    def reason(self) -> Finding | None:
        """Why the first release that is not served fails."""
        return self.first_unserved.best.errors[0] if self.first_unserved else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to the project, and the distros that it alone would win."""

    words: str
    gains: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the wheels serve. `share` is of the catalogue's distros, from 0 to 1."""

    families: tuple[FamilyReach, ...]
    served: int
    total: int
    widest: Change | None

    @property
    def share(self) -> float:
        """The served part of the catalogue."""
        return self.served / self.total if self.total else 0.0


def reach_of(predictions: Mapping[str, Sequence[Prediction]]) -> Reach:
    """Sum up predictions, given by the wheels' file names."""
    met: dict[str, list[tuple[str, Prediction]]] = {}
    for wheel, found in predictions.items():
        for prediction in found:
            met.setdefault(prediction.target.distro.id, []).append((wheel, prediction))
    best = [_best(pairs) for pairs in met.values()]
    families: dict[str, list[CoveredDistro]] = {}
    for served in best:
        families.setdefault(served.distro.family, []).append(served)
    return Reach(
        families=tuple(_family_reach(name, rows) for name, rows in sorted(families.items())),
        served=sum(served.works for served in best),
        total=len(best),
        widest=_widest(met),
    )


def _best(pairs: Sequence[tuple[str, Prediction]]) -> CoveredDistro:
    wheel, prediction = min(pairs, key=lambda pair: _rank(pair[1]))
    return CoveredDistro(distro=prediction.target.distro, best=prediction, wheel=wheel)


def _rank(prediction: Prediction) -> tuple[bool, bool, int, int]:
    """Working ones first; of failing ones those that a wheel for another Python would not change."""
    names = {finding.name for finding in prediction.errors}
    other_python = bool(names & {"python-mismatch", "requires-python"})
    sure = 0 if prediction.certainty is not Certainty.FIGURES else 1
    return not prediction.works, other_python, len(names), sure


def _family_reach(name: str, rows: Sequence[CoveredDistro]) -> FamilyReach:
    by_age = sorted(rows, key=lambda served: (served.distro.libc, served.distro.release))
    oldest = next((served for served in by_age if served.works), None)
    older = by_age if oldest is None else by_age[: by_age.index(oldest)]
    newer = (served for served in by_age if not served.works)
    return FamilyReach(
        family=name,
        served=tuple(by_age),
        oldest=oldest,
        first_unserved=older[-1] if older else next(newer, None),
    )


def _widest(met: Mapping[str, Sequence[tuple[str, Prediction]]]) -> Change | None:
    gains: dict[str, list[str]] = {}
    for distro, pairs in met.items():
        if any(prediction.works for _, prediction in pairs):
            continue
        for words in sorted({w for _, prediction in pairs if (w := _cure(prediction.errors))}):
            gains.setdefault(words, []).append(distro)
    if not gains:
        return None
    words = max(gains, key=lambda change: (len(gains[change]), change))
    return Change(words=words, gains=tuple(gains[words]))


def _cure(errors: Iterable[Finding]) -> str:
    """The one change that undoes all of these; empty if it takes more than one."""
    errors = tuple(errors)
    libraries = sorted({f.message.partition(" ")[0] for f in errors if f.name == _MISSING})
    changes = {_change(finding) for finding in errors if finding.name != _MISSING}
    if libraries:
        changes.add(f"bring {', '.join(libraries)} in the wheel, or do without")
    return changes.pop() if len(changes) == 1 else ""


def _change(finding: Finding) -> str:
    return _CHANGES.get(finding.name, f"correct {finding.name}: {finding.remedy.partition(';')[0]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelReach:
    """The distros that one wheel works on, fails on, and those that have no Python that it is for.

    `reason` is the finding that most failures have first; empty without failures.
    """

    works: tuple[str, ...]
    fails: tuple[str, ...]
    without_python: tuple[str, ...]
    reason: str


def reach_of_wheel(wheel: Wheel, predictions: Iterable[Prediction]) -> WheelReach:
    """Sum up one wheel's predictions: a distro serves it by any of its Pythons."""
    tried: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        tried.setdefault(prediction.target.distro.id, []).append(prediction)
    works = tuple(name for name, found in tried.items() if any(one.works for one in found))
    with_python = {
        name: [one for one in found if _is_for_its_python(wheel, one)]
        for name, found in tried.items()
        if name not in works
    }
    fails = {name: found for name, found in with_python.items() if found}
    reasons = Counter(one.errors[0].name for found in fails.values() for one in found)
    return WheelReach(
        works=works,
        fails=tuple(fails),
        without_python=tuple(name for name in with_python if name not in fails),
        reason=next((name for name, _ in reasons.most_common(1)), ""),
    )


def _is_for_its_python(wheel: Wheel, prediction: Prediction) -> bool:
    """Whether tags and Requires-Python admit the target's Python."""
    python = prediction.target.interpreter
    admitted = all(finding.name != "requires-python" for finding in prediction.errors)
    return admitted and any(fits_python(tag, python) for tag in wheel.tags)


SCHEMA_VERSION = 1
_ARCHITECTURES = (
    "x86_64",
    "i686",
    "aarch64",
    "armv7l",
    "ppc64le",
    "ppc64",
    "s390x",
    "riscv64",
    "loongarch64",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One project's version on one architecture: every prediction by wheel, and their sum."""

    title: str
    arch: str
    wheels: tuple[Wheel, ...]
    predictions: dict[str, tuple[Prediction, ...]]
    reach: Reach


def forecasts(
    all_facts: Iterable[WheelFacts], distros: Sequence[Distro], *, arch: str = "x86_64"
) -> tuple[Forecast, ...]:
    """Predict for each project and version; `arch` is for wheels that name no architecture.

    Facts are taken one wheel at a time, so that an iterator keeps no more than one in memory.
    """
    groups: dict[tuple[str, str, str], dict[str, tuple[Prediction, ...]]] = {}
    wheels: dict[tuple[str, str, str], list[Wheel]] = {}
    for facts in all_facts:
        wheel = facts.wheel
        own = architecture_of(wheel) or arch
        key = (wheel.name, wheel.version, own)
        wheels.setdefault(key, []).append(wheel)
        targets = targets_on(_of_its_libc(wheel, distros), own)
        found = predict(facts, [one for one in targets if asking(wheel.tags, one.interpreter)])
        groups.setdefault(key, {})[wheel.filename] = found
    return tuple(
        Forecast(
            title=f"{key[0]} {key[1]} on {key[2]}",
            arch=key[2],
            wheels=tuple(wheels[key]),
            predictions=predictions,
            reach=reach_of(predictions),
        )
        for key, predictions in groups.items()
    )


def _of_its_libc(wheel: Wheel, distros: Sequence[Distro]) -> Sequence[Distro]:
    """The distros with a C library that the wheel's name promises; all for a name that promises none.

    All too where none of them has it: then each prediction says so.
    """
    found = {policy_of_platform_tag(tag) for tag in wheel.platforms}
    if None in found:
        return distros
    kinds = {split[0].kind for split in found if split is not None}
    return [distro for distro in distros if distro.libc.kind in kinds] or distros


def architecture_of(wheel: Wheel) -> str:
    """The architecture in a wheel's platform tags; empty for wheels that run anywhere."""
    return next(
        (arch for arch in _ARCHITECTURES for tag in wheel.platforms if tag.endswith(f"_{arch}")), ""
    )


def to_json(found: Iterable[Forecast], *, catalogue_version: str, left_out: Sequence[str] = ()) -> str:
    """Everything as JSON text; the schema is in docs/reference/predictions.md."""
    document = {
        "schema": SCHEMA_VERSION,
        "catalogue": catalogue_version,
        "projects": [_project(forecast) for forecast in found],
        "left-out": list(left_out),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _project(forecast: Forecast) -> dict[str, object]:
    reach = forecast.reach
    widest = reach.widest and {"change": reach.widest.words, "gains": list(reach.widest.gains)}
    return {
        "project": forecast.title,
        "architecture": forecast.arch,
        "wheels": [
            {
                "file": wheel.filename,
                "sha256": wheel.sha256,
                **({"variant": wheel.variant} if wheel.variant else {}),
                "predictions": [_prediction(p) for p in forecast.predictions[wheel.filename]],
            }
            for wheel in forecast.wheels
        ],
        "reach": {
            "served": reach.served,
            "distros": reach.total,
            "share": round(reach.share, 4),
            "families": [_family(family) for family in reach.families],
            "widest-change": widest,
        },
    }


def _prediction(prediction: Prediction) -> dict[str, object]:
    target = prediction.target
    return {
        "target": target.id,
        "distro": target.distro.id,
        "python": target.interpreter.version.dotted,
        "works": prediction.works,
        "certainty": prediction.certainty.value,
        "findings": [_finding(finding) for finding in prediction.findings],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.value,
        "message": finding.message,
        "evidence": list(finding.evidence),
        "files": list(finding.files),
    }


def _family(family: FamilyReach) -> dict[str, object]:
    reason = family.reason
    return {
        "family": family.family,
        "oldest": _id(family.oldest),
        "first-unserved": _id(family.first_unserved),
        "reason": _finding(reason) if reason else None,
    }


def _id(served: CoveredDistro | None) -> str | None:
    return served.distro.id if served else None
