"""ML118: native code in the folder for pure Python."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.misplaced_elf import in_pure_root, in_purelib
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
    title="Native code in the folder for pure Python",
    meaning=(
        "The wheel installs an ELF file into purelib, the folder for code that runs anywhere. "
        "auditwheel refuses to look at or repair such a wheel. On distros where purelib (lib) and "
        "platlib (lib64) differ, a package is torn in two. A wheel with a native tag that only says "
        "Root-Is-Purelib: true is a warning."
    ),
    by_hand=(
        "unzip -p WHEEL '*.dist-info/WHEEL' | grep Purelib\nunzip -l WHEEL | grep 'purelib/.*\\.so'"
    ),
    remedies=(
        Remedy(words="tell the build back end that the distribution has native code"),
        Remedy(
            tool="setuptools",
            words="declare ext_modules, or override Distribution.has_ext_modules to return True",
        ),
        Remedy(tool="hatchling", words='a build hook that sets build_data["pure_python"] = False'),
        Remedy(tool="scikit-build-core", words="wheel.platlib = true under [tool.scikit-build]"),
        Remedy(tool="meson-python", words="install to py.get_install_dir(pure : false)"),
    ),
    links=(
        Link(
            title="Binary distribution format",
            address="https://packaging.python.org/en/latest/specifications/binary-distribution-format/",
        ),
    ),
    wheel=_wheel,
)
