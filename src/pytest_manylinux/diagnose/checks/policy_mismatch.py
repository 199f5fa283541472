"""ML102: the tag in the name promises more than the files keep."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
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
    audit=_audit,
)
