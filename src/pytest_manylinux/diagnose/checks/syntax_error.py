"""ML316: a Python file is no source text for the target's Python."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
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
        if need.since is None and minor > need.tried:
            continue  # it may be syntax of that very Python
        if need.since is None or minor < need.since:
            yield CHECK.finding(
                f"{need.path}, line {need.line}: Python 3.{minor} does not compile it ({need.message})",
                evidence=[_since(need)],
                severity=severity_of(need.path),
                files=[need.path],
            )


def _since(need: SyntaxNeed) -> str:
    if need.since is None:
        return f"no Python up to 3.{need.tried} compiles it"
    return f"Python 3.{need.since} is the first that compiles it"


def severity_of(path: str) -> Severity:
    """A warning for files that are kept apart by their names, else an error."""
    parts = PurePosixPath(path).with_suffix("").parts
    apart = any(_SET_APART.fullmatch(part) for part in parts)
    return Severity.WARNING if apart else Severity.ERROR


CHECK = Check(code="ML316", name="syntax-error", severity=Severity.ERROR, static=_static)
