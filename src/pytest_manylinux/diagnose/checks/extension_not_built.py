"""ML401: the build ended well, but without the native code."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML401",
    name="extension-not-built",
    severity=Severity.ERROR,
)
