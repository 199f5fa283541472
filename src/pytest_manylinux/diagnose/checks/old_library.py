"""ML143: a library inside the wheel is older than the settings' bound for it.

The bounds are the project's own, so the run makes the finding (run/outcomes.py).
"""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(code="ML143", name="old-library", severity=Severity.ERROR)
