"""Python modules that a wheel imports and does not find."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.modules import (
    ALWAYS_THERE,
    REMOVED,
    SEEDED,
    TEST_FRAMEWORKS,
    declared,
    needs_others,
    own_names,
)
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import SITE, WheelFacts, environment_path

# ML305: a Python module is missing that the wheel does not declare.


def _undeclared_dependency_static(facts: WheelFacts, _: Target) -> Findings:
    """What every import of the wheel imports from outside, if nothing at all may bring it."""
    if needs_others(facts) or any(line.changes_search for line in facts.start_lines):
        return
    names = own_names(facts)
    for effect in facts.on_import:
        if effect.opens or effect.name in ALWAYS_THERE or effect.name in names:
            continue
        of_tests = effect.name in TEST_FRAMEWORKS and _is_beside(effect.path, facts)
        yield UNDECLARED_DEPENDENCY.finding(
            f"no module named {effect.name!r}, and the wheel does not declare what provides it",
            evidence=[
                f"{effect.path}, line {effect.line}, imports {effect.name}",
                "the wheel declares: nothing",
            ],
            severity=Severity.WARNING if of_tests else Severity.ERROR,
            files=[effect.path],
        )


def _is_beside(path: str, facts: WheelFacts) -> bool:
    """Whether the wheel has another name to import than that which the file belongs to."""
    place = environment_path(path).removeprefix(f"{SITE}/")
    return any(name != place.partition("/")[0].removesuffix(".py") for name in facts.top_level)


def _undeclared_dependency_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    found = blamed("undeclared-dependency", facts, observation, target)
    for module, members in grouped(found, lambda failure: failure.outcome.missing_module):
        requires = ", ".join(facts.requires_dist) or "nothing"
        yield UNDECLARED_DEPENDENCY.finding(
            f"no module named {module!r}, and the wheel does not declare what provides it",
            evidence=[*(failure.line for failure in members), f"the wheel declares: {requires}"],
            severity=members[0].severity,
        )


UNDECLARED_DEPENDENCY = Check(
    code="ML305",
    name="undeclared-dependency",
    severity=Severity.ERROR,
    static=_undeclared_dependency_static,
    dynamic=_undeclared_dependency_dynamic,
)


# ML307: the wheel imports a module that this Python no longer has.


def _root_module(failure: Failure) -> str:
    return failure.outcome.missing_module.partition(".")[0]


def _removed_module_static(facts: WheelFacts, target: Target) -> Findings:
    for effect in facts.on_import:
        first = REMOVED.get(effect.name) or SEEDED.get(effect.name)
        if effect.opens or first is None or target.interpreter.version.release < first:
            continue
        if not any(declared(name, facts) for name in (effect.name, _BROUGHT_BY.get(effect.name, ""))):
            # What the wheel depends on may bring it: setuptools, or a copy of what Python had.
            severity = Severity.WARNING if needs_others(facts) else Severity.ERROR
            line = f"{effect.path}, line {effect.line}, imports {effect.name}"
            yield _removed_module_finding(effect.name, [line], severity, target, [effect.path])


def _removed_module_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("removed-module", facts, observation, target)
    for module, members in grouped(found, _root_module):
        lines = [failure.line for failure in members]
        yield _removed_module_finding(module, lines, members[0].severity, target)


def _removed_module_finding(
    module: str, lines: list[str], severity: Severity, target: Target, files: Sequence[str] = ()
) -> Finding:
    if module in REMOVED:
        why = f"left Python's own library in {'.'.join(map(str, REMOVED[module]))}"
    else:
        first = ".".join(map(str, SEEDED[module]))
        why = f"came with setuptools, which venv no longer installs from Python {first} on"
    python = target.interpreter.version.dotted
    return REMOVED_MODULE.finding(
        f"{module} {why}; {target.distro.id} has Python {python}",
        evidence=lines,
        severity=severity,
        files=files,
    )


_BROUGHT_BY = {"pkg_resources": "setuptools", "distutils": "setuptools"}

REMOVED_MODULE = Check(
    code="ML307",
    name="removed-module",
    severity=Severity.ERROR,
    static=_removed_module_static,
    dynamic=_removed_module_dynamic,
)
