"""ML311: the same wheel passes and fails in the same place.

An error, because a gate that lets it through lets chance decide, and because nobody looks at a warning
in a green run. Who knows better says so: `ignore` lowers it, `expect` declares it, and the proof has
either.
"""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML311",
    name="flaky",
    severity=Severity.ERROR,
)
