"""Predictions for whole projects: wheels of one version together, against a set of distros."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_manylinux.diagnose.coverage import CoveredDistro, FamilyReach, Reach, reach_of
from pytest_manylinux.diagnose.predict import Prediction, predict, targets_on
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.verdict import Finding
from pytest_manylinux.model.wheel import Wheel, WheelFacts

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
        found = predict(facts, targets_on(_of_its_libc(wheel, distros), own))
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
