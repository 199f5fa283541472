"""ML118: native code in the folder for pure Python."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.elf_index import in_pure_root, in_purelib
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    files = in_purelib(facts)
    if files:
        yield CHECK.finding(
            f"{files[0].path} is native code in purelib",
            evidence=[elf.path for elf in files],
            files=[elf.path for elf in files],
        )
    files = in_pure_root(facts)
    if files:
        yield CHECK.finding(
            f"the wheel says Root-Is-Purelib: true and holds {files[0].path}",
            evidence=[elf.path for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML118",
    name="elf-in-purelib",
    severity=Severity.ERROR,
    wheel=_wheel,
)
