"""ML308: a dependency's other release broke the binary interface."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.modules import declared, required
from pytest_manylinux.inspect.requirements import needed_requirements
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_WITH_NUMPY_2 = (3, 9)  # NumPy 2.0.0 requires Python 3.9
_BOUNDS = frozenset({"<", "<=", "==", "===", "~="})
_WITH_WHEELS = frozenset({"x86_64", "aarch64"})  # of NumPy, for all Pythons that NumPy 2 supports
_DOTTED = re.compile(
    r"\b([a-z_][a-z0-9_]*)\.[\w.]+ size changed|\b(numpy|libxml2|scipy)\b", re.IGNORECASE
)


def _dependency(words: str) -> str:
    match = _DOTTED.search(words)
    return (match[1] or match[2]).lower() if match else ""


def _bound(name: str, facts: WheelFacts, observation: Observation) -> list[str]:
    """What the wheel asks of the dependency, and what it got."""
    requirement = declared(name, facts)
    asked = str(requirement) if requirement else f"nothing on {name}"
    installed = dict(observation.install.installed) if observation.install else {}
    got = [f"installed: {name} {installed[name]}"] if name in installed else []
    return [f"the wheel declares {asked}", *got]


def _static(facts: WheelFacts, target: Target) -> Findings:
    files = [elf.path for elf in facts.elf if elf.numpy_headers == 1]
    asked = required("numpy", facts, target) if files else ()
    version = (target.interpreter.version.major, target.interpreter.version.minor)
    if asked and version >= _WITH_NUMPY_2 and all(map(_admits_numpy_2, asked)):
        # Another requirement may keep NumPy below 2: then only a trial shows what pip chooses.
        at_once = {elf.path for elf in facts.elf if elf.imports_array and elf.numpy_headers == 1}
        sure = _is_newest(facts, target) and not at_once.isdisjoint(_imported(facts))
        yield CHECK.finding(
            "compiled with the headers of NumPy 1, which NumPy 2 does not load, and not bounded to it",
            evidence=[f"the wheel declares {one}" for one in asked],
            severity=Severity.ERROR if sure else Severity.WARNING,
            files=files,
        )


def _is_newest(facts: WheelFacts, target: Target) -> bool:
    """Whether pip gets the newest NumPy: there are wheels of it, and nothing holds others back.

    The newest releases of other projects admit NumPy 2, which is from 2024; older ones may not.
    """
    lines = needed_requirements(facts.requires_dist, target)
    bounded = (one.operator in _BOUNDS for line in lines for one in _specifiers(line))
    return target.arch in _WITH_WHEELS and target.distro.libc.is_glibc() and not any(bounded)


def _specifiers(line: str) -> Iterable[Specifier]:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return ()
    return () if canonicalize_name(requirement.name) == "numpy" else requirement.specifier


def _imported(facts: WheelFacts) -> frozenset[str]:
    """The files of the modules that an import of the wheel brings: those at the top, and packages'."""
    names = {*facts.top_level, *facts.import_order}
    return frozenset(path for name, path in facts.extension_paths if name in names)


def _admits_numpy_2(requirement: Requirement) -> bool:
    return any(requirement.specifier.contains(version) for version in ("2.0.2", "2.99"))


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("dependency-abi", facts, observation, target):
        outcome = failure.outcome
        name = _dependency(f"{outcome.message}\n{outcome.output}")
        of = f" of {name}" if name else " of a dependency"
        yield CHECK.finding(
            f"{failure.subject}: made against another release{of}",
            evidence=[failure.line, *(_bound(name, facts, observation) if name else [])],
            severity=failure.severity,
        )


CHECK = Check(
    code="ML308",
    name="dependency-abi",
    severity=Severity.ERROR,
    static=_static,
    dynamic=_dynamic,
)
