"""Where a wheel will work, from its bytes and the catalogue alone.

Pure: facts and rows in, findings out; no sandbox, no file. What bytes cannot show (a crash, a module
that nobody declared, a library that code finds by a name of its own making) is not predicted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_manylinux.diagnose.api import once_per_survey
from pytest_manylinux.diagnose.check_registry import checks, find_check, make_finding
from pytest_manylinux.diagnose.loader_model import loadings
from pytest_manylinux.diagnose.modules import variants
from pytest_manylinux.inspect.python_code import NEWEST
from pytest_manylinux.model.distro import NAMESPACES, Distro, Survey, Target
from pytest_manylinux.model.elf_facts import version_of
from pytest_manylinux.model.verdict import Finding, Foretold, Outcome, Severity
from pytest_manylinux.model.wheel import WheelFacts

WEIGHT = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFORMATION: 2}
"""The order of severities, the heaviest first."""


class Certainty(enum.Enum):
    """What a prediction stands on.

    SURVEYED: the libraries of the very image. MEASURED: an interpreter and pip that were read from a
    live root of the distro. FIGURES: public package lists and surveys only.
    """

    SURVEYED = "surveyed"
    MEASURED = "measured"
    FIGURES = "figures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is to be expected of a wheel on one target; findings that decide come first."""

    target: Target
    findings: tuple[Finding, ...]
    certainty: Certainty

    @property
    def works(self) -> bool:
        """Whether nothing in the bytes speaks against it."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What speaks against it."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)


def predict(facts: WheelFacts, targets: Iterable[Target]) -> tuple[Prediction, ...]:
    """Predict for each target, in the order given."""
    return tuple(predict_target(facts, target) for target in targets)


def predict_target(facts: WheelFacts, target: Target) -> Prediction:
    """Predict for one target."""
    found = (
        finding
        for check in checks()
        if check.static is not None
        for finding in check.static(facts, target)
    )
    findings = _of_idle(_spared(merged(found), facts, target), facts)
    return Prediction(target=target, findings=findings, certainty=_certainty(target))


def _spared(findings: tuple[Finding, ...], facts: WheelFacts, target: Target) -> tuple[Finding, ...]:
    """The findings; a warning is what concerns one variant of a module while another has no fault."""
    groups = variants(facts)
    if not groups:
        return findings
    names = {path: name for name, path in facts.extension_paths}
    users: dict[str, set[str]] = {}
    for loading in loadings(facts, target):
        for file in loading.files:
            users.setdefault(file.path, set()).add(names.get(loading.root.path, ""))
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    faulty = {name for finding in errors for path in finding.files for name in users.get(path, ())}

    def has_another(path: str) -> bool:
        using = users.get(path, {""})
        return all(name in groups and not faulty.issuperset(groups[name]) for name in using)

    spared = (
        replace(finding, severity=Severity.WARNING)
        if finding in errors and finding.files and all(map(has_another, finding.files))
        else finding
        for finding in findings
    )
    return tuple(sorted(spared, key=lambda finding: WEIGHT[finding.severity]))


def _of_idle(findings: tuple[Finding, ...], facts: WheelFacts) -> tuple[Finding, ...]:
    """The findings; a warning is what concerns libraries that nothing in the wheel is seen to open.

    No module or program loads them, and no code opens any: an import need not either.
    """
    opens = facts.opened_by_path or any(effect.opens for effect in facts.on_import)
    if not facts.has_code or facts.extension_paths or facts.programs or opens:
        return findings
    libraries = {elf.path for elf in facts.elf if elf.is_shared}
    lowered = (
        replace(finding, severity=Severity.WARNING)
        if finding.severity is Severity.ERROR and finding.files and libraries.issuperset(finding.files)
        else finding
        for finding in findings
    )
    return tuple(sorted(lowered, key=lambda finding: WEIGHT[finding.severity]))


def targets_on(distros: Iterable[Distro], arch: str) -> tuple[Target, ...]:
    """Every distro x interpreter on an architecture."""
    return tuple(
        Target(distro=distro, arch=arch, interpreter=interpreter)
        for distro in distros
        if arch in distro.architectures
        for interpreter in distro.interpreters
    )


def surveyed(target: Target, survey: Survey) -> Target:
    """The target with what its image was seen to have."""
    return replace(target, distro=with_survey(target.distro, survey))


def with_survey(distro: Distro, survey: Survey) -> Distro:
    """The row with what its live image was seen to have, in place of figures."""
    return replace(
        distro,
        symbol_maxima=tuple({**dict(distro.symbol_maxima), **_maxima(survey)}.items()),
        libraries=_sonames(survey),
        version_names=_version_names(survey),
    )


@once_per_survey
def _maxima(survey: Survey) -> dict[str, str]:
    versions = {v for library in survey.libraries for v in library.versions}
    maxima = {name: best for name in NAMESPACES if (best := _highest(name, versions))}
    marks = sorted(v.removeprefix("GLIBC_ABI_") for v in versions if v.startswith("GLIBC_ABI_"))
    return {**maxima, "GLIBC_ABI": " ".join(marks)} if marks else maxima


@once_per_survey
def _sonames(survey: Survey) -> frozenset[str]:
    return frozenset(library.soname for library in survey.libraries)


@once_per_survey
def _version_names(survey: Survey) -> frozenset[str]:
    return frozenset(f"{one.soname}:{name}" for one in survey.libraries for name in one.versions)


def held_against(
    prediction: Prediction, outcome: Outcome, observed: tuple[Finding, ...]
) -> tuple[Foretold | None, tuple[Finding, ...]]:
    """How the trial went by its prediction, and a `prediction-wrong` finding if otherwise.

    Nothing if the trial shows neither that the wheel works nor that it fails.
    """
    match outcome:
        case Outcome.PORTABLE if prediction.works:
            return Foretold.RIGHT, ()
        case Outcome.PORTABLE:
            seen = ["seen: installed and imported"]
            return Foretold.WRONG, (_wrong("failure was predicted, and it worked", prediction, seen),)
        case Outcome.NOT_PORTABLE | Outcome.EXPECTED:
            return _failed(prediction, observed)
        case Outcome.NOT_PROVEN:
            return None, ()


def _failed(
    prediction: Prediction, observed: tuple[Finding, ...]
) -> tuple[Foretold, tuple[Finding, ...]]:
    if not prediction.works:
        return Foretold.RIGHT, ()
    told = {finding.name for finding in prediction.findings}
    newer = prediction.target.interpreter.version.minor > NEWEST
    missed = [f for f in observed if _could_be_predicted(f) and f.name not in told]
    missed = [f for f in missed if not (newer and f.name == "syntax-error")]  # nobody asked that Python
    if not missed:
        return Foretold.UNSURE if _was_possible(prediction, observed) else Foretold.BEYOND, ()
    seen = [f"seen: {finding.name}: {finding.message}" for finding in missed]
    return Foretold.WRONG, (_wrong("success was predicted, and it failed", prediction, seen),)


def _was_possible(prediction: Prediction, observed: tuple[Finding, ...]) -> bool:
    """Whether a warning of the prediction names what the trial failed by.

    Code that could not open a library may say so in words of its own: an import error beside it.
    """
    warned = {f.name for f in prediction.findings if f.severity is Severity.WARNING}
    names = {f.name for f in observed}
    errors = {f.name for f in observed if f.severity is Severity.ERROR}
    return bool(warned & errors) or ("import-error" in errors and "missing-library" in warned & names)


def _could_be_predicted(finding: Finding) -> bool:
    """Whether the bytes should have shown it: its check predicts, and it is this wheel's own fault."""
    if finding.severity is not Severity.ERROR or find_check(finding.name).static is None:
        return False
    return bool(finding.files) or finding.code.startswith("ML2")


def _wrong(message: str, prediction: Prediction, seen: list[str]) -> Finding:
    predicted = [f"predicted: {f.name}: {f.message}" for f in prediction.errors]
    ground = f"the prediction stands on: {prediction.certainty.value}"
    return make_finding(
        "prediction-wrong", message, evidence=[*(predicted or ["predicted: success"]), *seen, ground]
    )


def _certainty(target: Target) -> Certainty:
    if target.distro.libraries is not None:
        return Certainty.SURVEYED
    return Certainty.MEASURED if target.interpreter.measured else Certainty.FIGURES


def _highest(namespace: str, versions: Iterable[str]) -> str:
    numbers = [v.removeprefix(f"{namespace}_") for v in versions if v.startswith(f"{namespace}_")]
    parsed = [(version, number) for number in numbers if (version := version_of(number))]
    return max(parsed)[1] if parsed else ""


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that say the same made one, the heaviest first; evidence and files are united."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.name, finding.message)
        found[key] = _united(found[key], finding) if key in found else finding
    return tuple(sorted(found.values(), key=lambda finding: WEIGHT[finding.severity]))


def _united(first: Finding, second: Finding) -> Finding:
    return replace(
        first,
        severity=min(first.severity, second.severity, key=WEIGHT.__getitem__),
        evidence=tuple(dict.fromkeys((*first.evidence, *second.evidence))),
        files=tuple(dict.fromkeys((*first.files, *second.files))),
    )
