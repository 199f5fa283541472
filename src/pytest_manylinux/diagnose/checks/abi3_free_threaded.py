"""ML133: a free-threaded Python takes a module for the stable ABI, whose layout it does not have."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.extension_files import foreign_abi3, lowest_versions
from pytest_manylinux.diagnose.tags import best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ModuleFile, WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for version in sorted(set(lowest_versions(facts))):
        if found := list(foreign_abi3(facts, version)):
            yield from _findings(found, version)
            return


def _static(facts: WheelFacts, target: Target) -> Findings:
    if best_fit(facts.wheel.tags, target).misfit is None:
        yield from _findings(
            foreign_abi3(facts, target.interpreter.version), target.interpreter.version
        )


def _findings(found: Iterable[ModuleFile], version: PythonVersion) -> Findings:
    for one in found:
        yield CHECK.finding(
            f"{one.path} is for the stable ABI with the GIL, which {version.title} does not have",
            evidence=[f"{version.title} looks for {one.name.rpartition('.')[2]}.abi3.so and loads it"],
            files=[one.path],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("abi3-free-threaded", facts, observation, target))
    if not found:
        return
    version = target.interpreter.version
    paths = [one.path for one in foreign_abi3(facts, version)]
    yield CHECK.finding(
        f"{version.title} cannot use a module for the stable ABI with the GIL: {paths[0]}",
        evidence=[*(failure.line for failure in found), *paths],
        severity=min((f.severity for f in found), key=list(Severity).index),
        files=paths,
    )


CHECK = Check(
    code="ML133",
    name="abi3-free-threaded",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
