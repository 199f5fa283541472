"""ML128: an extension module does not export what Python calls."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.extension_files import lowest_versions, without_init
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import ModuleFile, WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    for version in sorted(set(lowest_versions(facts)))[:1]:
        for one in without_init(facts, version):
            yield _finding(one, version)


def _static(facts: WheelFacts, target: Target) -> Findings:
    for one in without_init(facts, target.interpreter.version):
        yield _finding(one, target.interpreter.version)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("init-missing", facts, observation, target):
        paths = [one.path for one in facts.module_files if one.name == failure.outcome.name]
        yield CHECK.finding(
            f"import {failure.outcome.name}: the file does not export its init function",
            evidence=[failure.line, *paths],
            severity=failure.severity,
            files=paths,
        )


def _finding(one: ModuleFile, version: PythonVersion) -> Finding:
    name = one.name.rpartition(".")[2]
    what = f"PyModExport_{name}, which Python calls from 3.15 on" if one.exports else "neither"
    return CHECK.finding(
        f"{one.path} does not export PyInit_{name}, which Python {version.dotted} calls",
        evidence=[f"of PyInit_{name} and PyModExport_{name} it exports {what}"],
        files=[one.path],
    )


CHECK = Check(
    code="ML128",
    name="init-missing",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
