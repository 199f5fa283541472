"""Programs of a wheel that do not start, and programs of the settings that fail."""

from __future__ import annotations

import posixpath
import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.command_files import unstartable
from pytest_manylinux.diagnose.loader_words import is_resolved, same_file
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import LaunchOutcome, Observation, ProgramOutcome, signal_name
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML313: a program that the wheel puts on PATH cannot be started.

_INTERPRETER = re.compile(r"its interpreter (?P<path>\S+) is not there(?P<env> \(asked of env\))?")
_USUAL = frozenset({"/bin", "/usr/bin", "/usr/local/bin"})
_ABSENT = "No such file or directory"


def _program_not_started_wheel(facts: WheelFacts) -> Findings:
    return _unstartable_findings(facts)


def _program_not_started_static(facts: WheelFacts, target: Target) -> Findings:
    return _unstartable_findings(facts, target)


def _unstartable_findings(facts: WheelFacts, target: Target | None = None) -> Findings:
    for fault in unstartable(facts, target):
        yield PROGRAM_NOT_STARTED.finding(
            f"{fault.path} cannot be started: {fault.words}",
            severity=fault.severity,
            remedy=fault.remedy,
            files=[fault.path],
        )


def _program_not_started_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    unresolved = {check.path for check in observation.loader if not is_resolved(check, facts)}
    for launch in observation.launches:
        if launch.started:
            continue
        interpreter = _interpreter(launch, facts)
        if launch.path in unresolved and not interpreter:
            continue  # the loader has said why
        yield PROGRAM_NOT_STARTED.finding(
            f"{launch.path} cannot be started: {_not_started_words(launch, interpreter, target)}",
            evidence=launch.output.strip().splitlines()[-4:] if launch.signal is not None else (),
            severity=_not_started_severity(launch),
            # of one that was killed no file shows why
            files=[path for path in facts.files if launch.refused and same_file(launch.path, path)],
        )


def _interpreter(launch: LaunchOutcome, facts: WheelFacts) -> str:
    """The loader that an ELF program names and that is not there (execve(2) says ENOENT then)."""
    if launch.refused != _ABSENT:
        return ""
    return next((elf.interpreter for elf in facts.elf if same_file(launch.path, elf.path)), "")


def _not_started_words(launch: LaunchOutcome, interpreter: str, target: Target) -> str:
    if interpreter:
        return f"the loader that it names, {interpreter}, is not on {target.distro.id}"
    if launch.refused:
        return launch.refused
    return f"it was killed by {signal_name(launch.signal)}"


def _not_started_severity(launch: LaunchOutcome) -> Severity:
    """A shell or a language of the distro's can be installed; a path of a build machine cannot."""
    match = _INTERPRETER.match(launch.refused)
    if match is None:
        return Severity.ERROR
    folder, name = posixpath.split(match["path"])
    usual = match["env"] is not None or folder in _USUAL
    is_python = name.startswith(("python", "pypy", "graalpy"))
    return Severity.WARNING if usual and not is_python else Severity.ERROR


PROGRAM_NOT_STARTED = Check(
    code="ML313",
    name="program-not-started",
    severity=Severity.ERROR,
    wheel=_program_not_started_wheel,
    static=_program_not_started_static,
    dynamic=_program_not_started_dynamic,
)


# ML310: a program that the configuration asked to run did not end well.


def _failed_end(program: ProgramOutcome) -> str:
    if program.signal is not None:
        return f"killed by {signal_name(program.signal)}"
    return f"exit code {program.exit_code}"


def _program_failed(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    for program in observation.programs:
        if program.exit_code != 0:
            yield PROGRAM_FAILED.finding(
                f"{' '.join(program.command)}: {_failed_end(program)}",
                evidence=program.output.strip().splitlines()[-6:],
            )


PROGRAM_FAILED = Check(
    code="ML310",
    name="program-failed",
    severity=Severity.ERROR,
    dynamic=_program_failed,
)
