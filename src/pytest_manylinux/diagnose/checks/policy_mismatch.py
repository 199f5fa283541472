"""ML102: the tag in the name promises more than the files keep."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.misplaced_elf import is_misplaced
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import Audit, WheelFacts


def _audit(facts: WheelFacts, audit: Audit) -> Findings:
    if audit.true or is_misplaced(facts):
        return
    promised = ".".join(audit.promised)
    deserved = audit.deserved or "no policy at all"
    yield CHECK.finding(
        f"the name promises {promised}, the files keep {deserved}", evidence=audit.reasons
    )


CHECK = Check(
    code="ML102",
    name="policy-mismatch",
    severity=Severity.ERROR,
    title="The tag in the name promises more than the files keep",
    meaning=(
        "Every ELF file in the wheel, the grafted ones too, has to keep the policy that the file "
        "name promises: no symbol version newer than the policy's glibc, libstdc++ and so on, and no "
        "library from outside that the policy does not list. One file does not. Indexes take the "
        "wheel all the same; older distros install it and fail at import."
    ),
    by_hand="auditwheel show WHEEL; readelf -V FILE.so",
    remedies=(
        Remedy(
            words=(
                "build against the policy's own glibc, then `auditwheel repair --plat`; do not rename "
                "a wheel to another tag by hand"
            )
        ),
        Remedy(
            tool="maturin",
            words="maturin build --compatibility POLICY --zig, or build in the policy's image",
        ),
        Remedy(
            tool="setuptools",
            words="build in the policy's manylinux image; repair checks what the linker took",
        ),
    ),
    links=(
        Link(title="PEP 600", address="https://peps.python.org/pep-0600/"),
        Link(title="auditwheel", address="https://github.com/pypa/auditwheel"),
    ),
    audit=_audit,
)
