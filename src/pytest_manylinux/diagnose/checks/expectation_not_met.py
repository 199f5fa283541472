"""ML901: a fault that the project declares did not happen."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML901",
    name="expectation-not-met",
    severity=Severity.ERROR,
)
