"""ML403: a second build in other surroundings gave another wheel."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML403",
    name="not-reproducible",
    severity=Severity.WARNING,
)
