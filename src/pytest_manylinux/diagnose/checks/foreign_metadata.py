"""ML125: the wheel installs metadata of a distribution other than itself."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.environment_files import foreign_metadata
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    found = foreign_metadata(facts)
    if found:
        yield CHECK.finding(
            f"{found[0]} would be taken for an installed distribution of its own",
            evidence=found,
            files=[path for path in facts.files if path.startswith(found)],
        )


CHECK = Check(
    code="ML125",
    name="foreign-metadata",
    severity=Severity.ERROR,
    wheel=_wheel,
)
