"""ML322: an import turns the GIL of a free-threaded Python back on."""

from __future__ import annotations

import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import ImportOutcome, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# CPython's import.c, _PyImport_EnableGILAndWarn.
_WARNING = re.compile(
    r"The global interpreter lock \(GIL\) has been enabled to load module '(?P<module>[^']+)'[^\n]*"
)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    if not target.interpreter.version.free_threaded:
        return
    by_module: dict[str, list[str]] = {}
    for outcome in observation.imports:
        said = _WARNING.search(outcome.output)
        if said or outcome.gil_enabled:
            module = said["module"] if said else outcome.name.partition(":")[0]
            by_module.setdefault(module, []).append(_evidence(outcome, said))
    own = {*facts.top_level, *(one.name.partition(".")[0] for one in facts.module_files)}
    for module, lines in by_module.items():
        mine = module.partition(".")[0] in own
        whose = "" if mine else ", a module of another distribution,"
        yield CHECK.finding(
            f"{module}{whose} turns the GIL back on: it does not declare Py_MOD_GIL_NOT_USED",
            evidence=lines,
            severity=Severity.WARNING if mine else Severity.INFORMATION,
            files=[one.path for one in facts.module_files if one.name == module],
        )


def _evidence(outcome: ImportOutcome, said: re.Match[str] | None) -> str:
    words = said[0] if said else "sys._is_gil_enabled() is true afterwards, and was not before"
    return f"import {outcome.name}: {words}"


CHECK = Check(
    code="ML322",
    name="gil-enabled",
    severity=Severity.WARNING,
    dynamic=_dynamic,
)
