"""ML316: a Python file does not compile with the target's Python."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation, SyntaxFault
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import SyntaxNeed, WheelFacts

# Names by which projects keep files apart that not every Python is to read.
_SET_APART = re.compile(
    r"(?:tests?|testing|templates?|examples?|samples?|skeletons?|fixtures?|data|benchmarks?|_?vendor)"
    r"|.*(?:py|python|cp|_)3?_?\d+.*|.*(?:_|\b)(?:match|async|walrus|future)\w*",
    re.IGNORECASE,
)


def _static(facts: WheelFacts, target: Target) -> Findings:
    minor = target.interpreter.version.minor
    for need in facts.syntax:
        if need.since is None and minor > need.refused_by:
            yield CHECK.finding(
                f"{need.path}: whether Python 3.{minor} compiles it is not known ({need.message})",
                evidence=[f"Python 3.{need.refused_by} does not"] if need.refused_by else [],
                severity=Severity.INFORMATION,
                files=[need.path],
            )
        elif need.since is None or minor < need.since:
            yield CHECK.finding(
                f"{need.path}, line {need.line}: Python 3.{minor} does not compile it ({need.message})",
                evidence=[_since(need)],
                severity=severity_of(need.path),
                files=[need.path],
            )


def _since(need: SyntaxNeed) -> str:
    if need.since is None:
        return f"no Python up to 3.{need.refused_by} compiles it"
    return f"Python 3.{need.since} is the first that compiles it"


def severity_of(path: str) -> Severity:
    """A warning for files that are kept apart by their names, else an error."""
    parts = PurePosixPath(path).with_suffix("").parts
    apart = any(_SET_APART.fullmatch(part) for part in parts)
    return Severity.WARNING if apart else Severity.ERROR


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    failed = list(blamed("syntax-error", facts, observation, target))
    decided = any(failure.decides for failure in failed)
    version = target.interpreter.version.dotted
    for number, fault in enumerate(observation.syntax):
        first = number == 0  # the imports that met a fault are told once
        path = _in_wheel(fault)
        yield CHECK.finding(
            f"{path}, line {fault.line}: Python {version} does not compile it ({fault.message})",
            evidence=[failure.line for failure in failed] if first else [],
            severity=Severity.ERROR if decided and first else severity_of(path),
            files=[path] if path in facts.files else [],
        )


def _in_wheel(fault: SyntaxFault) -> str:
    return fault.path.partition("site-packages/")[2] or fault.path


CHECK = Check(
    code="ML316", name="syntax-error", severity=Severity.ERROR, static=_static, dynamic=_dynamic
)
