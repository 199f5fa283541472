"""ML119: native code in a wheel whose name says that it runs anywhere."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.misplaced_elf import in_pure_wheel
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    files = in_pure_wheel(facts)
    if files:
        yield CHECK.finding(
            f"the name says any platform, and {files[0].path} is for {files[0].arch}",
            evidence=[f"{elf.path}: {elf.arch}" for elf in files],
            files=[elf.path for elf in files],
        )


CHECK = Check(
    code="ML119",
    name="elf-in-pure-wheel",
    severity=Severity.ERROR,
    title="Native code in a wheel whose name says that it runs anywhere",
    meaning=(
        "A wheel tagged py3-none-any is installed on every platform: other processors, musl, macOS, "
        "Windows. The ELF files in it work on one of them. Nothing checked them against a policy "
        "either. A shared library left over in the source folder is a frequent cause."
    ),
    by_hand="unzip -l WHEEL | grep '\\.so'; auditwheel show WHEEL",
    remedies=(
        Remedy(words="leave the file out of the package, or build a platform wheel and repair it"),
        Remedy(tool="setuptools", words="exclude-package-data, or ext_modules for what is meant"),
        Remedy(tool="hatchling", words="exclude, or a build hook that sets the tag"),
    ),
    links=(
        Link(
            title="Platform compatibility tags",
            address="https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/",
        ),
    ),
    wheel=_wheel,
)
