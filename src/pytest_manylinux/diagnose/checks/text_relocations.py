"""ML114: a file changes its own code when it is loaded."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _paths(facts: WheelFacts) -> list[str]:
    return [elf.path for elf in loaded_files(facts) if elf.text_relocations]


def _wheel(facts: WheelFacts) -> Findings:
    paths = _paths(facts)
    if paths:
        yield CHECK.finding(
            f"{paths[0]} has relocations in its code (DT_TEXTREL)",
            evidence=[f"{path}: DT_TEXTREL" for path in paths],
            files=paths,
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("text-relocations", facts, observation, target))
    if found:
        paths = _paths(facts)
        yield CHECK.finding(
            f"import {found[0].outcome.name}: the system does not let it change its own code",
            evidence=[*(failure.line for failure in found), *(f"{p}: DT_TEXTREL" for p in paths)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=paths,
        )


CHECK = Check(
    code="ML114",
    name="text-relocations",
    severity=Severity.WARNING,
    title="A file changes its own code when it is loaded",
    meaning=(
        "Relocations in the code (DT_TEXTREL) make the loader write to pages that are to be executed. "
        "glibc does it; SELinux (execmod) and hardened kernels refuse, and the import fails there: "
        "cannot restore segment prot after reloc. The cause is code compiled without -fPIC, often "
        "assembler or a static library."
    ),
    by_hand="readelf -d FILE.so | grep TEXTREL; scanelf -qT FILE.so",
    remedies=(
        Remedy(words="compile everything that goes into the file with -fPIC; link with -Wl,-z,text"),
        Remedy(
            tool="scikit-build-core",
            words="POSITION_INDEPENDENT_CODE ON as a target property, of static parts too",
        ),
        Remedy(tool="meson-python", words="pic : true on static_library"),
    ),
    links=(Link(title="ld -z text", address="https://sourceware.org/binutils/docs/ld/Options.html"),),
    wheel=_wheel,
    dynamic=_dynamic,
)
