"""Findings and verdicts: what facts and observations amount to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_manylinux.model.observation import Count, Observation, OptionalSha256, Ordinal

FLAKY = "flaky"
"""The finding where some tries of a wheel passed and some failed."""


class Severity(enum.Enum):
    """How much a finding weighs: only an error makes a wheel not portable."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


class Outcome(enum.Enum):
    """The verdict's word. Only PORTABLE and EXPECTED pass."""

    PORTABLE = "portable"
    NOT_PORTABLE = "not-portable"
    EXPECTED = "expected"
    NOT_PROVEN = "not-proven"

    @property
    def passes(self) -> bool:
        """Whether a run with only such verdicts is green."""
        return self in {Outcome.PORTABLE, Outcome.EXPECTED}


class Cause(enum.Enum):
    """Why a trial could not be proven; never a pass."""

    ENGINE = "engine"
    IMAGE = "image"
    BUILD = "build"
    PYTHON = "python"
    DEPENDENCY = "dependency"
    TIMEOUT = "timeout"
    NO_TARGET = "no-target"
    NOTHING_TO_IMPORT = "nothing-to-import"
    UNREADABLE = "unreadable"
    TESTS = "tests"
    INTERNAL = "internal"


class Foretold(enum.Enum):
    """How a trial went, held against what the wheel's bytes had led one to expect.

    UNSURE: it failed in a way that the bytes showed as possible, by a warning. BEYOND: it failed in a
    way that bytes do not show (a crash, an exception of its own code).
    """

    RIGHT = "right"
    WRONG = "wrong"
    UNSURE = "unsure"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or worth knowing.

    `code` (ML101) and `name` (`missing-library`) are stable. `message` is the decisive line;
    `evidence` are facts, a line each (which file, which symbol, which library). `files` are the
    paths in the wheel that it is about; empty where it is about no file of the wheel.
    """

    code: str
    name: str
    severity: Severity
    message: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A fault that the project declares; strict, like xfail: it must happen.

    `distro` is an id or `*`. `test` narrows `tests-failed` to one test of the project's: its id, the
    last part of it, or a pattern (fnmatch); empty: all of them.
    """

    distro: str
    finding: str
    reason: str
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A finding that the configuration waves through, and the reason that it gives."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """How often the same wheel was tried in the same place, and how often an error was seen.

    `count` and `failed` are of this run, `known` and `known_failed` of this run and of all earlier
    ones that are remembered. Only tries that showed whether the wheel works are counted: what a lost
    sandbox or a machine without time left unproven says nothing about the wheel.
    """

    count: Ordinal
    failed: Count
    known: Ordinal
    known_failed: Count

    @property
    def flaky(self) -> bool:
        """Whether some of all tries passed and some failed."""
        return 0 < self.known_failed < self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one trial or audit amounts to.

    `subject` is the trial's target id or `audit`; `cause` is set for NOT_PROVEN only; `reason`
    is the sentence for people; `expectation` the declaration that turned a fault into EXPECTED;
    `prediction` is set where a trial showed whether the wheel works. `tries` is set where the trial
    was repeated, and where some tries passed and some failed.
    """

    wheel: str
    wheel_sha256: OptionalSha256
    subject: str
    outcome: Outcome
    cause: Cause | None = None
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    expectation: Expectation | None = None
    observation: Observation | None = None
    prediction: Foretold | None = None
    tries: Tries | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make a wheel not portable."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)


def distinct(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Without repeats: a wheel that serves several Pythons is audited for each, once is enough."""
    kept: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        cell = kept.setdefault((verdict.wheel, verdict.wheel_sha256, verdict.subject), [])
        if verdict not in cell:
            cell.append(verdict)
    return [verdict for cell in kept.values() for verdict in cell]
