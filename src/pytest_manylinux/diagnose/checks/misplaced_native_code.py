"""Native code and what a wheel's name and layout say of it."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.elf_index import in_pure_root, in_pure_wheel, in_purelib
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML118: native code in the folder for pure Python.


def _elf_in_purelib(facts: WheelFacts) -> Findings:
    files = in_purelib(facts)
    if files:
        yield ELF_IN_PURELIB.finding(
            f"{files[0].path} is native code in purelib",
            evidence=[elf.path for elf in files],
            files=[elf.path for elf in files],
        )
    files = in_pure_root(facts)
    if files:
        yield ELF_IN_PURELIB.finding(
            f"the wheel says Root-Is-Purelib: true and holds {files[0].path}",
            evidence=[elf.path for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


ELF_IN_PURELIB = Check(
    code="ML118",
    name="elf-in-purelib",
    severity=Severity.ERROR,
    wheel=_elf_in_purelib,
)


# ML119: native code in a wheel whose name says that it runs anywhere.


def _elf_in_pure_wheel(facts: WheelFacts) -> Findings:
    files = in_pure_wheel(facts)
    if files:
        yield ELF_IN_PURE_WHEEL.finding(
            f"the name says any platform, and {files[0].path} is for {files[0].arch}",
            evidence=[f"{elf.path}: {elf.arch}" for elf in files],
            files=[elf.path for elf in files],
        )


ELF_IN_PURE_WHEEL = Check(
    code="ML119",
    name="elf-in-pure-wheel",
    severity=Severity.ERROR,
    wheel=_elf_in_pure_wheel,
)


# ML129: the name promises a platform, and no file in the wheel depends on one.


def _platform_tag_needless(facts: WheelFacts) -> Findings:
    platforms = [platform for platform in facts.wheel.platforms if platform != "any"]
    if not platforms or any(elf.runs_on_linux for elf in facts.elf):
        return
    # Headers, static libraries and programs of other kinds are rightly kept to a platform; an ABI of
    # Python in the tag has no other reason than a module.
    abis = sorted({tag.abi for tag in facts.wheel.tags if tag.abi != "none"})
    words = f"the ABI {abis[0]} and " if abis else ""
    yield PLATFORM_TAG_NEEDLESS.finding(
        f"the name promises {words}{platforms[0]}, and the wheel holds no native code",
        severity=Severity.ERROR if abis else Severity.WARNING,
    )


PLATFORM_TAG_NEEDLESS = Check(
    code="ML129", name="platform-tag-needless", severity=Severity.ERROR, wheel=_platform_tag_needless
)
