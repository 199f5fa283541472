"""What a check is: one file in `checks/` that holds one `CHECK`.

What a finding means and what to do about it stands in `texts/NAME.md`. A check finds the fault where it
can be found:

* `wheel(facts)`: in the wheel's bytes alone, whatever the distro; part of the audit's verdict.
* `static(facts, target)`: in the bytes held against one target; the prediction.
* `dynamic(facts, observation, target)`: in what a trial on that target saw.
* `audit(facts, audit)`: in what the reference tool said of the wheel.

A finding that the session makes itself (a declared fault that did not happen, a build that failed)
has a check without any of these. Codes and names are stable: they are never used again for
something else. ML1xx is seen in the wheel, ML2xx when it is installed, ML3xx when it is imported or
run, ML4xx when it is built; ML9xx is about declarations and predictions rather than about wheels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.diagnose.finding_text import TEXTS, FindingText, read_text
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import Audit, WheelFacts

Findings = Iterable[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding: its identity, and the functions that find it.

    `severity` is the usual one; a function may report less (`Check.finding`). `texts` is the folder of
    its text, NAME.md.
    """

    code: str
    name: str
    severity: Severity
    texts: Path = TEXTS
    wheel: Callable[[WheelFacts], Findings] | None = None
    static: Callable[[WheelFacts, Target], Findings] | None = None
    dynamic: Callable[[WheelFacts, Observation, Target], Findings] | None = None
    audit: Callable[[WheelFacts, Audit], Findings] | None = None

    @property
    def text(self) -> FindingText:
        """What the finding means and what to do; its file is read once."""
        return read_text(self.texts / f"{self.name}.md")

    def finding(
        self,
        message: str,
        *,
        evidence: Sequence[str] = (),
        severity: Severity | None = None,
        remedy: str = "",
        files: Sequence[str] = (),
    ) -> Finding:
        """Make a finding of this check; severity and remedy are the check's own unless given.

        `files` are the paths in the wheel that it is about, for settings that speak of files.
        """
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            message=message,
            evidence=tuple(evidence),
            remedy=remedy or self.text.remedies[0].words,
            files=tuple(files),
        )
