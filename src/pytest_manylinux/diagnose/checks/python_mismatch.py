"""ML202: the wheel, or a file in it, is for another Python."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, grouped, missing_module
from pytest_manylinux.diagnose.extension_files import importer, left_over, never_found, unfound
from pytest_manylinux.diagnose.modules import built_for
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import ModuleFile, WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.PYTHON:
        yield _tag_finding(str(fit.tag), target, ())
    if fit.misfit is None:
        version = target.interpreter.version.dotted
        for module, files in unfound(facts, target).items():
            yield _file_finding(module, files, f"Python {version}", facts)
        yield from _left_over(facts)


def _wheel(facts: WheelFacts) -> Findings:
    for module, files in never_found(facts).items():
        yield _file_finding(module, files, "the Python of the wheel's tag", facts)
    yield from _left_over(facts)


def _file_finding(module: str, files: list[ModuleFile], python: str, facts: WheelFacts) -> Finding:
    paths, who = [one.path for one in files], importer(module, facts)
    return CHECK.finding(
        f"{python} does not find {module} by the name of its file: {paths[0]}",
        evidence=[*paths, who or "nothing in the wheel imports it without a condition"],
        severity=Severity.ERROR if who else Severity.WARNING,
        remedy=_FILE_REMEDY,
        files=paths,
    )


def _left_over(facts: WheelFacts) -> Findings:
    for module, files in left_over(facts).items():
        paths = [one.path for one in files]
        yield CHECK.finding(
            f"no Python of the wheel's tags finds {paths[0]}; another file is taken for {module}",
            evidence=paths,
            severity=Severity.WARNING,
            remedy=_LEFT_OVER_REMEDY,
            files=paths,
        )


_LEFT_OVER_REMEDY = (
    "build in a clean folder: a file of another build, or of an in-place one, is packed with the wheel"
)


_FILE_REMEDY = (
    "build the file with the Python of the tag, or, for the stable ABI, call it NAME.abi3.so, "
    "which every CPython finds"
)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.PYTHON:
            yield _tag_finding(str(fit.tag), target, refusal.lines)
    found = blamed("python-mismatch", facts, observation, target)
    for module, members in grouped(found, lambda failure: missing_module(failure.outcome, facts)):
        files = built_for(module, facts)
        yield CHECK.finding(
            f"{module} is in the wheel, but its file is named for another Python: {files[0]}",
            evidence=[*(failure.line for failure in members), *files],
            severity=members[0].severity,
        )


def _tag_finding(tag: str, target: Target, lines: tuple[str, ...]) -> Finding:
    version = target.interpreter.version
    return CHECK.finding(
        f"the tag {tag} is not for Python {version.dotted}, the Python of {target.distro.id}",
        evidence=lines,
    )


CHECK = Check(
    code="ML202",
    name="python-mismatch",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
