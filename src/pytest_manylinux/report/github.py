"""Failures as annotations, where the run is a job of GitHub Actions (or of Gitea or Forgejo)."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_manylinux.escape import plain_line
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.report.phrases import (
    counted,
    decisive_line,
    outcome_words,
    place_words,
    wheel_words,
)

# A step shows ten annotations of a kind; the rest would only fill the log.
ANNOTATIONS = 10


def workflow_annotations(record: RunRecord, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Workflow commands to print, a line each; none outside of a workflow.

    What a wheel says is escaped, so that it cannot issue commands of its own.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return ()
    failures = [verdict for verdict in record.verdicts if not verdict.outcome.passes]
    failures.sort(key=lambda v: (v.outcome is not Outcome.NOT_PORTABLE, v.wheel, v.subject))
    lines = [_annotation(v) for v in failures[: ANNOTATIONS - (len(failures) > ANNOTATIONS)]]
    if hidden := len(failures) - len(lines):
        lines.append(_command(title="More wheels failed", message=f"{counted(hidden, 'failure')} more"))
    return tuple(lines)


def _annotation(verdict: Verdict) -> str:
    words = outcome_words(verdict.outcome)
    return _command(
        title=f"{wheel_words(verdict.wheel)} {words} on {place_words(verdict)}",
        message=decisive_line(verdict) or words,
    )


def _command(*, title: str, message: str) -> str:
    name = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={name}::{_data(message)}"


def _data(text: str) -> str:
    """As the runner unescapes it: percent signs and line breaks."""
    return plain_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
