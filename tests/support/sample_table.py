"""The sample projects as a table: what was found where, and whether it is just what was declared.

    python tests/support/sample_table.py PROOF

`make prove` writes such a proof to reports/proof.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Severity, Verdict
from pytest_manylinux.report.proof import read_proof


@dataclass(frozen=True)
class Row:
    """Verdicts of one project that are alike. `wrong` says what should not be so; empty if nothing."""

    project: str
    places: tuple[str, ...]
    outcome: str
    findings: str
    wrong: str

    def __str__(self) -> str:
        row = f"{self.project:44} {self.outcome:12} {self.findings:58} {' '.join(self.places)}"
        return f"{row.rstrip()}  <-- {self.wrong}" if self.wrong else row


def rows(record: RunRecord) -> Iterator[Row]:
    """By project; verdicts that are alike in a row."""
    groups = {(w.file, w.sha256): w.group for w in record.wheels}
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for verdict in record.verdicts:
        group = groups.get((verdict.wheel, verdict.wheel_sha256), verdict.wheel)
        target = split_target_id(verdict.subject)
        place = target[0] if target else verdict.subject
        key = (group, verdict.outcome.value, _findings(verdict), _wrong(group, verdict))
        alike.setdefault(key, []).append(place)
    for (group, outcome, findings, wrong), places in sorted(alike.items()):
        yield Row(group, tuple(dict.fromkeys(places)), outcome, findings, wrong)


def _findings(verdict: Verdict) -> str:
    return ", ".join(f"{f.name} ({f.severity.value})" for f in verdict.findings) or "-"


def _wrong(group: str, verdict: Verdict) -> str:
    """A portable project has nothing above information; a faulty one what it declares, and no more."""
    heavy = {f.name for f in verdict.findings if f.severity is not Severity.INFORMATION}
    if "/portable/" in group or group.startswith("portable/"):
        return "a portable project" if heavy or verdict.outcome is not Outcome.PORTABLE else ""
    if not verdict.outcome.passes:
        return "not as declared"
    if verdict.expectation is not None:
        false = heavy - {verdict.expectation.finding}
        return f"also {', '.join(sorted(false))}" if false else ""
    warned = heavy - _declared(group)
    return f"also {', '.join(sorted(warned))}" if warned else ""


def _declared(group: str) -> set[str]:
    """What the project's pyproject.toml declares somewhere: its audit may warn of that."""
    root = Path(__file__).parents[2] / "sample_projects"
    inside = group.partition("sample_projects/")[2] or group
    text = (root / inside / "pyproject.toml").read_text()
    lines = (line.partition("finding = ")[2] for line in text.splitlines())
    return {line.split('"')[1] for line in lines if '"' in line}


def main(proof: str) -> int:
    """Print the table; exit code 1 if anything is as it should not be."""
    found = list(rows(read_proof(Path(proof)).record))
    print("\n".join(map(str, found)))
    return int(any(row.wrong for row in found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
