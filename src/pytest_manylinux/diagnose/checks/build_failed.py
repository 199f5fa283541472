"""ML402: the project could not be built."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML402",
    name="build-failed",
    severity=Severity.ERROR,
)
