"""What the distro's loader said of the installed files, without running them.

A library that the loader does not find this way is not always missing in life: a package may load
it first, by its path, before the extension module that needs it (what PyTorch and others do with
their own libraries); the loader then takes the one that is already there. So the words count as an
error only for commands, which nothing loads anything for, and for extension modules whose import
failed as well. Beside an import that went well they are a warning, with the evidence, and for programs
inside a package too: a wrapper may start those with a search path of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.diagnose.modules import variants
from pytest_manylinux.model.observation import ImportStatus, LoaderCheck, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import SITE, WheelFacts, environment_path


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderProblem:
    """Words of the loader about one installed file; `text` is a library or a sentence."""

    path: str
    text: str
    severity: Severity
    note: str = ""

    @property
    def line(self) -> str:
        """The problem in one line of evidence."""
        return f"the loader on {self.path}{f' ({self.note})' if self.note else ''}: {self.text}"


def spared_variants(facts: WheelFacts, observation: Observation) -> frozenset[str]:
    """Names of modules of which the wheel has another variant that was imported here."""
    good = {one.name for one in observation.imports if one.status is ImportStatus.OK}
    return frozenset(name for name, group in variants(facts).items() if not good.isdisjoint(group))


def loader_missing(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each library that the loader did not find, with the file that needs it."""
    for check in observation.loader:
        severity, note = _weight(check, facts, observation)
        for library in check.missing:
            yield LoaderProblem(path=check.path, text=library, severity=severity, note=note)


def loader_problems(facts: WheelFacts, observation: Observation) -> Iterator[LoaderProblem]:
    """Each sentence of the loader other than those on missing libraries."""
    for check in observation.loader:
        severity, note = _weight(check, facts, observation)
        for text in check.problems:
            yield LoaderProblem(path=check.path, text=text, severity=severity, note=note)


def _weight(check: LoaderCheck, facts: WheelFacts, observation: Observation) -> tuple[Severity, str]:
    path = check.path.replace("\\", "/")
    program = next((one for one in facts.programs if same_file(path, one)), "")
    if program:
        if is_command(program):
            return Severity.ERROR, ""
        return Severity.WARNING, "a wrapper may start it with a search path of its own"
    name = next((n for n, file in facts.extension_paths if same_file(path, file)), "")
    if name in spared_variants(facts, observation):
        return Severity.WARNING, "another variant of it was imported"
    if _import_failed(name, observation):
        return Severity.ERROR, ""
    return Severity.WARNING, "yet it was imported"


def _import_failed(module: str, observation: Observation) -> bool:
    """Whether the module's own import failed; if it was not tried, that of what holds it."""
    by_name = {outcome.name: outcome.status is ImportStatus.OK for outcome in observation.imports}
    name = module
    while name:
        if name in by_name:
            return not by_name[name]
        name = name.rpartition(".")[0]
    return False


def is_on_path(installed: str) -> bool:
    """Whether an installed file lies in the venv's folder of scripts."""
    return PurePosixPath(installed).parent.name == "bin" and "site-packages" not in installed


def same_file(installed: str, in_wheel: str) -> bool:
    """Whether an installed path is that of a file in the wheel, `.data` folders resolved."""
    place = environment_path(in_wheel).removeprefix(f"{SITE}/") or in_wheel
    return installed in {place, in_wheel} or installed.endswith(f"/{place}")
