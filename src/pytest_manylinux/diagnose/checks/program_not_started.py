"""ML313: a program that the wheel puts on PATH cannot be started."""

from __future__ import annotations

import posixpath
import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.checks.crash import signal_name
from pytest_manylinux.diagnose.command_files import unstartable
from pytest_manylinux.diagnose.installed import same_file
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import LaunchOutcome, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_INTERPRETER = re.compile(r"its interpreter (?P<path>\S+) is not there(?P<env> \(asked of env\))?")
_USUAL = frozenset({"/bin", "/usr/bin", "/usr/local/bin"})
_ABSENT = "No such file or directory"


def _wheel(facts: WheelFacts) -> Findings:
    return _found(facts)


def _static(facts: WheelFacts, target: Target) -> Findings:
    return _found(facts, target)


def _found(facts: WheelFacts, target: Target | None = None) -> Findings:
    for fault in unstartable(facts, target):
        yield CHECK.finding(
            f"{fault.path} cannot be started: {fault.words}",
            severity=fault.severity,
            remedy=fault.remedy,
            files=[fault.path],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    unresolved = {check.path for check in observation.loader if not check.resolved}
    for launch in observation.launches:
        if launch.started:
            continue
        interpreter = _interpreter(launch, facts)
        if launch.path in unresolved and not interpreter:
            continue  # the loader has said why
        yield CHECK.finding(
            f"{launch.path} cannot be started: {_words(launch, interpreter, target)}",
            evidence=launch.output.strip().splitlines()[-4:] if launch.signal is not None else (),
            severity=_severity(launch),
            # of one that was killed no file shows why
            files=[path for path in facts.files if launch.refused and same_file(launch.path, path)],
        )


def _interpreter(launch: LaunchOutcome, facts: WheelFacts) -> str:
    """The loader that an ELF program names and that is not there (execve(2) says ENOENT then)."""
    if launch.refused != _ABSENT:
        return ""
    return next((elf.interpreter for elf in facts.elf if same_file(launch.path, elf.path)), "")


def _words(launch: LaunchOutcome, interpreter: str, target: Target) -> str:
    if interpreter:
        return f"the loader that it names, {interpreter}, is not on {target.distro.id}"
    if launch.refused:
        return launch.refused
    return f"it was killed by {signal_name(launch.signal)}"


def _severity(launch: LaunchOutcome) -> Severity:
    """A shell or a language of the distro's can be installed; a path of a build machine cannot."""
    match = _INTERPRETER.match(launch.refused)
    if match is None:
        return Severity.ERROR
    folder, name = posixpath.split(match["path"])
    usual = match["env"] is not None or folder in _USUAL
    is_python = name.startswith(("python", "pypy", "graalpy"))
    return Severity.WARNING if usual and not is_python else Severity.ERROR


CHECK = Check(
    code="ML313",
    name="program-not-started",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
