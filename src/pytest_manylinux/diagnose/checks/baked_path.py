"""ML116: a library has places of the build machine compiled in."""

from __future__ import annotations

import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# Where distributions keep certificates and settings, and what the kernel has on every machine (Node.js
# looks for OpenSSL's settings in /dev/null); a path below any other folder is the build machine's own.
_COMMON = re.compile(r"/(?:dev|proc|sys|etc|usr/share|usr/lib(?:64)?|var/lib)/")


def _foreign(facts: WheelFacts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for elf in facts.elf:
        paths = [path for path in elf.baked_paths if not _COMMON.match(path)]
        if paths:
            found[elf.path] = paths
    return found


def _wheel(facts: WheelFacts) -> Findings:
    found = _foreign(facts)
    if found:
        path, places = next(iter(found.items()))
        yield CHECK.finding(
            f"{path} looks for {places[0]}, a place of the machine that built it",
            evidence=[f"{file}: {place}" for file, all_ in found.items() for place in all_],
            severity=Severity.INFORMATION,
            files=list(found),
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("baked-path", facts, observation, target):
        files = [
            elf.path
            for elf in facts.elf
            if any(place in failure.outcome.message for place in elf.baked_paths)
        ]
        yield CHECK.finding(
            f"{failure.subject}: a place compiled into {files[0]} is not on this distro",
            evidence=[failure.line],
            severity=failure.severity,
            files=files,
        )


CHECK = Check(
    code="ML116",
    name="baked-path",
    severity=Severity.ERROR,
    wheel=_wheel,
    dynamic=_dynamic,
)
