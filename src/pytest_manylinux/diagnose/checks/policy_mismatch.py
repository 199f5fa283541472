"""ML102: the tag in the name promises more than the files keep."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.command_files import names_musls_loader
from pytest_manylinux.diagnose.elf_index import is_misplaced
from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.diagnose.tags import is_plain_linux
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import Audit, WheelFacts


def _audit(facts: WheelFacts, audit: Audit) -> Findings:
    if audit.true and is_plain_linux(facts):
        yield _plain_linux(facts, audit)
    if audit.true or is_misplaced(facts) or _is_of_musl_programs(facts):
        return
    promised = ".".join(audit.promised)
    deserved = audit.deserved or "no policy at all"
    yield CHECK.finding(
        f"the name promises {promised}, the files keep {deserved}", evidence=audit.reasons
    )


def _is_of_musl_programs(facts: WheelFacts) -> bool:
    """Whether programs for musl alone break the promise: `program-not-started` tells of those."""
    if any(tag.startswith("musllinux") for tag in facts.wheel.platforms):
        return False
    dynamic = [elf for elf in facts.elf if elf.interpreter or elf.needed]
    commands = [elf for elf in dynamic if is_command(elf.path) and names_musls_loader(elf)]
    return bool(dynamic) and dynamic == commands


def _plain_linux(facts: WheelFacts, audit: Audit) -> Finding:
    """Pip takes `linux_ARCH`, and indexes do not: it says nothing of the glibc (PEP 513)."""
    plain = facts.wheel.platforms
    better = audit.deserved if audit.deserved and audit.deserved not in plain else ""
    return CHECK.finding(
        f"package indexes take no wheel whose name says {plain[0]}"
        + (f"; the files keep {better}" if better else ""),
        evidence=audit.reasons,
        severity=Severity.WARNING,
        remedy="let auditwheel repair name it, which also brings the libraries that it needs",
    )


CHECK = Check(
    code="ML102",
    name="policy-mismatch",
    severity=Severity.ERROR,
    audit=_audit,
)
