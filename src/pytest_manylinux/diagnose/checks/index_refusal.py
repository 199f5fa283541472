"""ML132: the package index would refuse the file, whether or not it works.

A warning, because what was built need not be meant for an index; the gate refuses it. upload_rules/
knows the rules, which depend on the settings and so are not among the facts.
"""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML132",
    name="index-refusal",
    severity=Severity.WARNING,
)
