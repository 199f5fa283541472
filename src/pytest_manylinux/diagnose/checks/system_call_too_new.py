"""ML144: a file makes a system call that the distro's kernel does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.system_calls import (
    FIRST_KERNEL,
    SOURCE,
    WRAPPERS,
    kernel_number,
    parse_kernel,
)
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    kernel = target.distro.kernel
    if kernel is None:
        return
    defined = {name.partition("@")[0] for elf in facts.elf for name in elf.exports}
    found: dict[str, dict[str, list[str]]] = {}
    for elf in loaded_files(facts):
        for call, way in _calls(elf, defined):
            if FIRST_KERNEL[call] > kernel:
                found.setdefault(call, {}).setdefault(way, []).append(elf.path)
    for call, ways in found.items():
        files = tuple(dict.fromkeys(path for paths in ways.values() for path in paths))
        since = kernel_number(FIRST_KERNEL[call])
        yield CHECK.finding(
            f"{files[0]} makes the system call {call} of Linux {since}, "
            f"and {target.distro.id} has Linux {kernel_number(kernel)}",
            evidence=[
                *(f"{path}: {way}" for way, paths in ways.items() for path in paths),
                f"the first kernel with {call} is {since} by {SOURCE}",
            ],
            severity=Severity.INFORMATION if set(ways) == {_BY_NUMBER} else Severity.WARNING,
            files=files,
        )


_BY_NUMBER = "by number, with or without another way on older kernels"


def _calls(elf: ElfFacts, defined: set[str]) -> Iterator[tuple[str, str]]:
    """The newer calls of a file, and how it makes each. A weak want may be looked for, and left."""
    for want in elf.wants:
        call = WRAPPERS.get(want.name)
        if call and not want.weak and want.name not in defined:
            yield call, f"by {want.name}, which has no other way on older kernels"
    for call in elf.system_calls:
        yield call, _BY_NUMBER


def _dynamic(facts: WheelFacts, observation: Observation, _: Target) -> Findings:
    """Say which calls may be meant where an import failed with ENOSYS under an older kernel."""
    failed = [one for one in observation.imports if _NOT_IMPLEMENTED.search(one.message)]
    if not observation.kernel or not failed:
        return
    kernel = parse_kernel(observation.kernel, "kernel")
    defined = {name.partition("@")[0] for elf in facts.elf for name in elf.exports}
    calls = {call: elf.path for elf in facts.elf for call, _ in _calls(elf, defined)}
    young = [
        f"{path}: {call} of Linux {kernel_number(FIRST_KERNEL[call])}"
        for call, path in calls.items()
        if FIRST_KERNEL[call] > kernel
    ]
    yield CHECK.finding(
        f"import {failed[0].name}: a system call that Linux {observation.kernel} does not have",
        evidence=[*(f"{one.exception}: {one.message}" for one in failed), *young],
        files=tuple(dict.fromkeys(line.partition(": ")[0] for line in young)),
    )


_NOT_IMPLEMENTED = re.compile(r"\[Errno 38\]|Function not implemented|os error 38|ENOSYS")

CHECK = Check(
    code="ML144",
    name="system-call-too-new",
    severity=Severity.WARNING,
    static=_static,
    dynamic=_dynamic,
)
