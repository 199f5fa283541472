"""ML307: the wheel imports a module that this Python no longer has."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.modules import REMOVED, SEEDED, declared, needs_others
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _root(failure: Failure) -> str:
    return failure.outcome.missing_module.partition(".")[0]


def _static(facts: WheelFacts, target: Target) -> Findings:
    for effect in facts.on_import:
        first = REMOVED.get(effect.name) or SEEDED.get(effect.name)
        if effect.opens or first is None or target.interpreter.version.release < first:
            continue
        if not any(declared(name, facts) for name in (effect.name, _BROUGHT_BY.get(effect.name, ""))):
            # What the wheel depends on may bring it: setuptools, or a copy of what Python had.
            severity = Severity.WARNING if needs_others(facts) else Severity.ERROR
            line = f"{effect.path}, line {effect.line}, imports {effect.name}"
            yield _finding(effect.name, [line], severity, target, [effect.path])


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("removed-module", facts, observation, target)
    for module, members in grouped(found, _root):
        lines = [failure.line for failure in members]
        yield _finding(module, lines, members[0].severity, target)


def _finding(
    module: str, lines: list[str], severity: Severity, target: Target, files: Sequence[str] = ()
) -> Finding:
    if module in REMOVED:
        why = f"left Python's own library in {'.'.join(map(str, REMOVED[module]))}"
    else:
        first = ".".join(map(str, SEEDED[module]))
        why = f"came with setuptools, which venv no longer installs from Python {first} on"
    python = target.interpreter.version.dotted
    return CHECK.finding(
        f"{module} {why}; {target.distro.id} has Python {python}",
        evidence=lines,
        severity=severity,
        files=files,
    )


_BROUGHT_BY = {"pkg_resources": "setuptools", "distutils": "setuptools"}

CHECK = Check(
    code="ML307",
    name="removed-module",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
