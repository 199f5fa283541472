"""What the distro's loader said of the installed files, without running them.

A library that the loader does not find this way is not always missing in life: a package may load
it first, by its path, before the extension module that needs it (what PyTorch and others do with
their own libraries); the loader then takes the one that is already there. So the words count as an
error only for programs, which nothing loads anything for, and for extension modules whose import
failed as well. Beside an import that went well they are a warning, with the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_manylinux.diagnose.loader_model import installed_path
from pytest_manylinux.model.observation import ImportStatus, LoaderCheck, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderProblem:
    """Words of the loader about one installed file; `text` is a library or a sentence."""

    path: str
    text: str
    severity: Severity

    @property
    def line(self) -> str:
        """The problem in one line of evidence."""
        weight = "" if self.severity is Severity.ERROR else " (yet it was imported)"
        return f"the loader on {self.path}{weight}: {self.text}"


def loader_missing(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each library that the loader did not find, with the file that needs it."""
    for check in observation.loader:
        severity = _severity(check, facts, observation)
        for library in check.missing:
            yield LoaderProblem(path=check.path, text=library, severity=severity)


def loader_problems(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each sentence of the loader other than those on missing libraries."""
    for check in observation.loader:
        severity = _severity(check, facts, observation)
        for text in check.problems:
            yield LoaderProblem(path=check.path, text=text, severity=severity)


def _severity(check: LoaderCheck, facts: WheelFacts, observation: Observation) -> Severity:
    path = check.path.replace("\\", "/")
    if any(same_file(path, program) for program in facts.programs):
        return Severity.ERROR
    name = next((n for n, file in facts.extension_paths if same_file(path, file)), "")
    return Severity.ERROR if _import_failed(name, observation) else Severity.WARNING


def _import_failed(module: str, observation: Observation) -> bool:
    """Whether the module's own import failed; if it was not tried, that of what holds it."""
    by_name = {outcome.name: outcome.status is ImportStatus.OK for outcome in observation.imports}
    name = module
    while name:
        if name in by_name:
            return not by_name[name]
        name = name.rpartition(".")[0]
    return False


def same_file(installed: str, in_wheel: str) -> bool:
    """Whether an installed path is that of a file in the wheel, `.data` folders resolved."""
    place = installed_path(in_wheel).removeprefix("../")
    place = f"bin/{place.removeprefix('scripts/')}" if place.startswith("scripts/") else place
    return installed in {place, in_wheel} or installed.endswith(f"/{place}")
