"""ML120: files carry debug information."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_MIB = 1024 * 1024


def _wheel(facts: WheelFacts) -> Findings:
    files = [elf for elf in facts.elf if elf.debug_sections]
    if files:
        total = sum(elf.debug_size for elf in files) / _MIB
        yield CHECK.finding(
            f"{total:.1f} MiB of debug information in {len(files)} of {len(facts.elf)} ELF files",
            evidence=[f"{elf.path}: {elf.debug_size / _MIB:.1f} MiB" for elf in files],
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML120",
    name="unstripped",
    severity=Severity.INFORMATION,
    title="Files carry debug information",
    meaning=(
        "The .debug sections are of use to a debugger only; often they are most of the wheel's size. "
        "Harmless, unless size matters."
    ),
    by_hand="readelf -SW FILE.so | grep debug; size -A FILE.so",
    remedies=(
        Remedy(words="strip before repair: `auditwheel repair --strip`, or -Wl,--strip-debug"),
        Remedy(tool="setuptools", words='extra_link_args=["-Wl,--strip-debug"], or -g0 in CFLAGS'),
        Remedy(tool="scikit-build-core", words="install.strip = true under [tool.scikit-build]"),
        Remedy(tool="meson-python", words="meson setup -Dbuildtype=release -Dstrip=true"),
        Remedy(tool="maturin", words="strip = true under [profile.release], or --strip"),
    ),
    links=(Link(title="strip(1)", address="https://man7.org/linux/man-pages/man1/strip.1.html"),),
    wheel=_wheel,
)
