"""ML902: the prediction and the trial disagree."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML902",
    name="prediction-wrong",
    severity=Severity.INFORMATION,
)
