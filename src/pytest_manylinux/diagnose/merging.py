"""Findings that say the same, made one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_manylinux.model.verdict import Finding, Severity

WEIGHT = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFORMATION: 2}
"""The order of severities, the heaviest first."""


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that say the same made one, the heaviest first; evidence and files are united."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.name, finding.message)
        found[key] = _united(found[key], finding) if key in found else finding
    return tuple(sorted(found.values(), key=lambda finding: WEIGHT[finding.severity]))


def _united(first: Finding, second: Finding) -> Finding:
    return replace(
        first,
        severity=min(first.severity, second.severity, key=WEIGHT.__getitem__),
        evidence=tuple(dict.fromkeys((*first.evidence, *second.evidence))),
        files=tuple(dict.fromkeys((*first.files, *second.files))),
    )
