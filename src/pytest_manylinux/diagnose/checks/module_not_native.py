"""ML127: a file that Python or the loader takes for native code holds something else."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed, no_code_of
from pytest_manylinux.diagnose.elf_index import needing
from pytest_manylinux.diagnose.extension_files import no_modules
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import FileContent, WheelFacts

_REMEDIES = {
    FileContent.LFS_POINTER: "check out with Git LFS before the build (actions/checkout: lfs: true)",
    FileContent.EMPTY: "build again in a clean folder: a linker that was stopped leaves empty files",
    FileContent.TEXT: (
        "pack the library itself; a linker script, or the target of a symbolic link as text, is not one"
    ),
}


def _wheel(facts: WheelFacts) -> Findings:
    sure = {one.path for one in no_modules(facts)}
    for path, content in facts.no_code:
        # A library may lie there for other machines or for a linker; only what loads it is broken.
        needed = bool(needing(path.rpartition("/")[2], facts))
        if path in sure or content is not FileContent.TEXT or needed:
            yield CHECK.finding(
                f"{path} is called like native code and is {content.value}",
                severity=Severity.ERROR if path in sure or needed else Severity.WARNING,
                remedy=_REMEDIES.get(content, ""),
                files=[path],
            )


def _static(facts: WheelFacts, target: Target) -> Findings:
    del target
    return [finding for finding in _wheel(facts) if finding.severity is Severity.ERROR]


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("module-not-native", facts, observation, target):
        path = no_code_of(failure, facts)
        content = dict(facts.no_code)[path]
        yield CHECK.finding(
            f"{path} is called like native code and is {content.value}",
            evidence=[failure.line],
            severity=failure.severity,
            remedy=_REMEDIES.get(content, ""),
            files=[path],
        )


CHECK = Check(
    code="ML127",
    name="module-not-native",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
