"""ML129: the name promises a platform, and no file in the wheel depends on one."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    platforms = [platform for platform in facts.wheel.platforms if platform != "any"]
    if not platforms or any(elf.runs_on_linux for elf in facts.elf):
        return
    # Headers, static libraries and programs of other kinds are rightly kept to a platform; an ABI of
    # Python in the tag has no other reason than a module.
    abis = sorted({tag.abi for tag in facts.wheel.tags if tag.abi != "none"})
    words = f"the ABI {abis[0]} and " if abis else ""
    yield CHECK.finding(
        f"the name promises {words}{platforms[0]}, and the wheel holds no native code",
        severity=Severity.ERROR if abis else Severity.WARNING,
    )


CHECK = Check(code="ML129", name="platform-tag-needless", severity=Severity.ERROR, wheel=_wheel)
