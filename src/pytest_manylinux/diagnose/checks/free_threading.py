"""What a free-threaded Python makes of a wheel's modules."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.extension_files import foreign_abi3, lowest_versions
from pytest_manylinux.diagnose.tags import best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import ImportOutcome, Observation
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ModuleFile, WheelFacts

# ML133: a free-threaded Python takes a module for the stable ABI, whose layout it does not have.


def _abi3_free_threaded_wheel(facts: WheelFacts) -> Findings:
    for version in sorted(set(lowest_versions(facts))):
        if found := list(foreign_abi3(facts, version)):
            yield from _abi3_findings(found, version)
            return


def _abi3_free_threaded_static(facts: WheelFacts, target: Target) -> Findings:
    if best_fit(facts.wheel.tags, target).misfit is None:
        yield from _abi3_findings(
            foreign_abi3(facts, target.interpreter.version), target.interpreter.version
        )


def _abi3_findings(found: Iterable[ModuleFile], version: PythonVersion) -> Findings:
    for one in found:
        yield ABI3_FREE_THREADED.finding(
            f"{one.path} is for the stable ABI with the GIL, which {version.title} does not have",
            evidence=[f"{version.title} looks for {one.name.rpartition('.')[2]}.abi3.so and loads it"],
            files=[one.path],
        )


def _abi3_free_threaded_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    found = list(blamed("abi3-free-threaded", facts, observation, target))
    if not found:
        return
    version = target.interpreter.version
    paths = [one.path for one in foreign_abi3(facts, version)]
    yield ABI3_FREE_THREADED.finding(
        f"{version.title} cannot use a module for the stable ABI with the GIL: {paths[0]}",
        evidence=[*(failure.line for failure in found), *paths],
        severity=min((f.severity for f in found), key=list(Severity).index),
        files=paths,
    )


ABI3_FREE_THREADED = Check(
    code="ML133",
    name="abi3-free-threaded",
    severity=Severity.ERROR,
    wheel=_abi3_free_threaded_wheel,
    static=_abi3_free_threaded_static,
    dynamic=_abi3_free_threaded_dynamic,
)


# ML322: an import turns the GIL of a free-threaded Python back on.

# CPython's import.c, _PyImport_EnableGILAndWarn.
_GIL_WARNING = re.compile(
    r"The global interpreter lock \(GIL\) has been enabled to load module '(?P<module>[^']+)'[^\n]*"
)


def _gil_enabled(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    if not target.interpreter.version.free_threaded:
        return
    by_module: dict[str, list[str]] = {}
    for outcome in observation.imports:
        said = _GIL_WARNING.search(outcome.output)
        if said or outcome.gil_enabled:
            module = said["module"] if said else outcome.name.partition(":")[0]
            by_module.setdefault(module, []).append(_gil_evidence(outcome, said))
    own = {*facts.top_level, *(one.name.partition(".")[0] for one in facts.module_files)}
    for module, lines in by_module.items():
        mine = module.partition(".")[0] in own
        whose = "" if mine else ", a module of another distribution,"
        yield GIL_ENABLED.finding(
            f"{module}{whose} turns the GIL back on: it does not declare Py_MOD_GIL_NOT_USED",
            evidence=lines,
            severity=Severity.WARNING if mine else Severity.INFORMATION,
            files=[one.path for one in facts.module_files if one.name == module],
        )


def _gil_evidence(outcome: ImportOutcome, said: re.Match[str] | None) -> str:
    words = said[0] if said else "sys._is_gil_enabled() is true afterwards, and was not before"
    return f"import {outcome.name}: {words}"


GIL_ENABLED = Check(
    code="ML322",
    name="gil-enabled",
    severity=Severity.WARNING,
    dynamic=_gil_enabled,
)
