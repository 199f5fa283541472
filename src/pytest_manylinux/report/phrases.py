"""Verdicts in sentences, the same in every report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import PurePath

from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.observation import (
    CaseStatus,
    ImportOutcome,
    ImportStatus,
    Observation,
    SuiteOutcome,
    how_it_ended,
)
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.verdict import (
    Cause,
    Finding,
    Foretold,
    Ignored,
    Outcome,
    Severity,
    Tries,
    Verdict,
)

_EVIDENCE_LINES = 6

_OUTCOMES = {
    Outcome.PORTABLE: "portable",
    Outcome.NOT_PORTABLE: "not portable",
    Outcome.EXPECTED: "expected fault",
    Outcome.NOT_PROVEN: "not proven",
}
_CAUSES = {
    Cause.ENGINE: "the engine failed",
    Cause.IMAGE: "there is no image of the distro",
    Cause.BUILD: "there is no wheel to try, its build failed",
    Cause.PYTHON: "its Python could not be provided there",
    Cause.DEPENDENCY: "its dependencies are not available there",
    Cause.TIMEOUT: "the time was up",
    Cause.NO_TARGET: "no target can take it",
    Cause.NOTHING_TO_IMPORT: "it holds nothing to import",
    Cause.UNREADABLE: "its file cannot be read",
    Cause.TESTS: "its tests were not run",
    Cause.INTERNAL: "a fault of pytest-manylinux itself",
}


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 wheel`, `2 wheels`, `2 tries`."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {f'{noun[:-1]}ies' if noun.endswith('ry') else f'{noun}s'}"


def wheel_words(wheel: str) -> str:
    """A wheel's file name on one line; what never became one has no name."""
    return plain_line(wheel) or "(no wheel)"


def build_words(build: BuildRecord) -> str:
    """How a build ended: its error, or where its wheel came from."""
    if build.error or build.reused:
        return build.error or "reused"
    return "remembered" if build.remembered else "built"


def outcome_words(outcome: Outcome) -> str:
    """The outcome as people say it."""
    return _OUTCOMES[outcome]


def cause_words(cause: Cause) -> str:
    """Why a trial could not be proven, as half a sentence."""
    return _CAUSES.get(cause, cause.value)


_FORETOLD = (Foretold.RIGHT, Foretold.WRONG, Foretold.UNSURE, Foretold.BEYOND)


def prediction_words(verdicts: Iterable[Verdict]) -> str:
    """How trials went by their predictions: `38 of 40 trials as predicted`; empty without any."""
    counts = Counter(v.prediction for v in verdicts if v.prediction is not None)
    right, wrong, unsure, beyond = (counts[how] for how in _FORETOLD)
    parts = []
    if right + wrong:
        parts.append(f"{right} of {counted(right + wrong, 'trial')} as predicted")
    if unsure:
        parts.append(f"{counted(unsure, 'fault')} foretold as possible")
    if beyond:
        parts.append(f"{counted(beyond, 'fault')} that no file shows")
    return ", ".join(parts)


def tries_words(tries: Tries) -> str:
    """How the tries of one trial went: `failed 3 of 12 tries`, with earlier runs where they count."""
    if tries.failed:
        now = f"failed {tries.failed} of {counted(tries.count, 'try')}"
    else:
        now = f"passed {'all ' if tries.count > 1 else ''}{counted(tries.count, 'try')}"
    if tries.known == tries.count:
        return now
    return f"{now}; with earlier runs: failed {tries.known_failed} of {tries.known}"


def repeated_words(verdicts: Iterable[Verdict]) -> str:
    """How many trials were repeated, and how many tries failed; empty if none was."""
    repeated = [v.tries for v in verdicts if v.tries is not None and v.tries.count > 1]
    if not repeated:
        return ""
    tries, failed = sum(t.count for t in repeated), sum(t.failed for t in repeated)
    return f"{counted(len(repeated), 'trial')}, {counted(tries, 'try')}, {failed} failed"


def suite_words(suite: SuiteOutcome) -> str:
    """How a project's own tests went in one trial: `812 passed, 3 skipped, in 4.1 s`."""
    if suite.skipped or suite.not_run:
        return f"not run: {suite.skipped or suite.not_run}"
    counts = [f"{number} {word}" for word, number in suite.counts]
    if not counts:
        counts = [how_it_ended(suite.exit_code, suite.signal)]
    return f"{', '.join(counts)}, in {suite.duration:.1f} s"


def suites_words(verdicts: Iterable[Verdict]) -> str:
    """The projects' own tests of a run: `812 passed, 3 skipped in 4 trials`; empty if none was run."""
    seen = [v.observation.tests for v in verdicts if v.observation and v.observation.tests]
    if not seen:
        return ""
    ran = [suite for suite in seen if not (suite.skipped or suite.not_run)]
    counts: Counter[str] = Counter()
    for suite in ran:
        counts.update(dict(suite.counts))
    parts = [f"{counts[status.value]} {status.value}" for status in CaseStatus if counts[status.value]]
    words = f"{', '.join(parts) or 'run'} in {counted(len(ran), 'trial')}"
    if left := len(seen) - len(ran):
        words += f", not run in {left}"
    return words


def remembered_words(verdicts: Iterable[Verdict]) -> str:
    """How many trials an earlier run did: `3 of 4 trials, seen by earlier runs`; empty if none."""
    seen = [v.observation for v in verdicts if v.observation is not None]
    count = sum(observation.remembered for observation in seen)
    return f"{count} of {counted(len(seen), 'trial')}, seen by earlier runs" if count else ""


def policy_words(builds: Iterable[BuildRecord]) -> list[str]:
    """A line for each policy that builds came to: `demo: built for manylinux2014: …`."""
    lines = [
        plain_line(f"{PurePath(build.project).name}: {_built_for(build)}")
        for build in builds
        if build.policy_why and not build.error
    ]
    return list(dict.fromkeys(lines))


def _built_for(build: BuildRecord) -> str:
    return f"built for {build.policy}: {build.policy_why}"


def seen_words(seen: Observation) -> str:
    """When it was seen, and whether by an earlier run; empty if nobody knows when."""
    if not seen.started:
        return "by an earlier run (remembered)" if seen.remembered else ""
    at = f"{datetime.fromtimestamp(seen.started, tz=timezone.utc):%Y-%m-%d %H:%M} UTC"
    return f"{at}, by an earlier run (remembered)" if seen.remembered else at


def decisive_line(verdict: Verdict) -> str:
    """The one line that says why: the first error's, else the reason."""
    for finding in (*verdict.errors, *verdict.findings):
        return plain_line(f"{finding.name}: {finding.message}")
    if verdict.reason:
        return plain_line(verdict.reason)
    return "" if verdict.cause is None else cause_words(verdict.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnedWheel:
    """A finding of verdicts that pass, of one wheel, with their places."""

    wheel: str
    finding: Finding
    places: tuple[str, ...]


def warned(
    verdicts: Iterable[Verdict], weights: Collection[Severity] = (Severity.WARNING,)
) -> tuple[WarnedWheel, ...]:
    """What verdicts that pass have findings of these weights about, each once, by wheel."""
    groups: dict[tuple[str, str, str], tuple[Finding, dict[str, None]]] = {}
    for verdict in verdicts:
        for finding in verdict.findings if verdict.outcome.passes else ():
            if finding.severity in weights:
                key = (wheel_words(verdict.wheel), finding.name, finding.message)
                groups.setdefault(key, (finding, {}))[1][plain_line(verdict.subject)] = None
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return tuple(
        WarnedWheel(wheel=key[0], finding=finding, places=tuple(places))
        for key, (finding, places) in ordered
    )


def warning_words(finding: Finding) -> str:
    """A finding in a line: `unstripped: demo/x.so has debug information`, and its weight if another."""
    weight = "" if finding.severity is Severity.WARNING else f" ({finding.severity.value})"
    return plain_line(f"{finding.name}{weight}: {finding.message}")


def place_words(verdict: Verdict) -> str:
    """Where it was seen: `debian-12 (Python 3.11.2, pip 23.0.1, glibc 2.36)`."""
    target = split_target_id(verdict.subject)
    place = plain_line(verdict.subject if target is None else target[0])
    details = [] if target is None else list(_details(verdict.observation))
    if target is not None and not details:
        details = [target[1]]
    return f"{place} ({', '.join(details)})" if details else place


def _details(seen: Observation | None) -> Iterator[str]:
    if seen is None:
        return
    if seen.added_python:
        yield plain_line(seen.added_python)
    elif seen.python:
        yield f"Python {plain_line(seen.python)}"
    if seen.install is not None and seen.install.pip_version:
        yield f"pip {plain_line(seen.install.pip_version)}"
    if seen.uv is not None and seen.uv.version:
        yield f"uv {plain_line(seen.uv.version)}"
    if seen.libc:
        yield plain_line(seen.libc)
    if seen.emulator:
        yield f"under {plain_line(seen.emulator)}"
    yield from _pretended(seen)
    if seen.lowest:
        yield f"with {plain_line(lowest_words(seen))}"
    if seen.compiled:
        yield f"with {plain_line(compiled_words(seen))}"


def _pretended(seen: Observation) -> Iterator[str]:
    """What the trial was to find otherwise than this machine has it."""
    if seen.kernel:
        yield f"as on Linux {plain_line(seen.kernel)}"
    if seen.processor:
        yield f"imported on {plain_line(seen.processor)}"


def lowest_words(seen: Observation) -> str:
    """What was taken as old as the wheel admits it: `numpy 1.26.0 (lowest-direct)`."""
    return f"{', '.join(' '.join(pair) for pair in seen.lowest)} (lowest-direct)"


def compiled_words(seen: Observation) -> str:
    """What the run compiled for its trial: `numpy 2.4.0 (compiled, for want of a wheel)`."""
    return f"{', '.join(' '.join(pair) for pair in seen.compiled)} (compiled, for want of a wheel)"


def extras_words(verdict: Verdict) -> str:
    """The extras of a trial: `with [fast]` of a fault, `passed with [fast], [cli] too`."""
    seen = verdict.observation
    if seen is None or not seen.extras:
        return ""
    sets = plain_line(", ".join(f"[{names}]" for names in seen.extras))
    return f"passed with {sets} too" if verdict.outcome is Outcome.PORTABLE else f"with {sets}"


def verdict_text(verdict: Verdict, *, build: BuildRecord | None = None, full: bool = False) -> str:
    """What a failing item prints: what failed and where, the decisive line, evidence, remedy.

    `build` made the wheel; that `auto` chose another policy than the oldest is said. `full` adds every
    line of evidence, the tracebacks and pip's words. Ends without a line break.
    """
    sections = ["\n".join(_heading(verdict, build))]
    sections += ["\n".join(_finding(finding, full=full)) for finding in _by_weight(verdict.findings)]
    sections += ["\n".join(_ignored(ignored)) for ignored in verdict.ignored]
    seen = verdict.observation
    if full and seen is not None:
        sections += [*_tracebacks(seen), *_pip_words(seen), *_suite_output(seen)]
    elif seen is not None and _has_more(seen):
        sections.append("tracebacks, pip's words and tests in full: run again with -vv")
    return "\n\n".join(sections)


def _heading(verdict: Verdict, build: BuildRecord | None) -> Iterator[str]:
    wheel = wheel_words(verdict.wheel)
    if verdict.subject == "audit":
        where = " by its audit"
    else:  # nothing was planned for it: there is no place
        where = "" if verdict.cause is Cause.NO_TARGET else f" on {place_words(verdict)}"
    yield f"{wheel}: {outcome_words(verdict.outcome)}{where}"
    if words := extras_words(verdict):
        yield f"  {words}"
    if build is not None and build.policy_why:
        yield _indented(_built_for(build))
    if verdict.cause is not None:
        yield f"  because {cause_words(verdict.cause)}"
    if verdict.reason and verdict.reason not in {finding.message for finding in verdict.findings}:
        yield _indented(verdict.reason)
    if verdict.tries is not None and not verdict.tries.flaky:  # the finding says it
        yield f"  {tries_words(verdict.tries)}"
    if verdict.observation is not None and verdict.observation.remembered:
        yield f"  seen {seen_words(verdict.observation)}"
    if verdict.expectation is not None:
        yield _indented(f"declared: {verdict.expectation.finding}, {verdict.expectation.reason}")


def _by_weight(findings: Iterable[Finding]) -> list[Finding]:
    weights = list(Severity)
    return sorted(findings, key=lambda finding: weights.index(finding.severity))


def _finding(finding: Finding, *, full: bool) -> Iterator[str]:
    weight = "" if finding.severity is Severity.ERROR else f" ({finding.severity.value})"
    yield f"{finding.code} {finding.name}{weight}: {plain(finding.message).strip()}"
    shown = finding.evidence if full else finding.evidence[:_EVIDENCE_LINES]
    for line in shown:
        yield _indented(line)
    if hidden := len(finding.evidence) - len(shown):
        yield f"  … {hidden} more, with -vv"
    if finding.remedy:
        yield _indented(f"remedy: {finding.remedy}")
    if finding.severity is Severity.ERROR:
        yield f"  more: pytest-manylinux explain {finding.name}"


def _ignored(ignored: Ignored) -> Iterator[str]:
    finding = ignored.finding
    yield f"ignored: {finding.code} {finding.name}: {plain_line(finding.message)}"
    yield _indented(f"reason: {ignored.reason}")


def _has_more(seen: Observation) -> bool:
    return bool(_tracebacks(seen) or _suite_output(seen)) or (
        seen.install is not None and not seen.install.ok
    )


def _tracebacks(seen: Observation) -> list[str]:
    """What each failed import said, under a heading of its own."""
    failed = (outcome for outcome in seen.imports if outcome.status is not ImportStatus.OK)
    return [text for outcome in failed if (text := _import_text(outcome))]


def _pip_words(seen: Observation) -> list[str]:
    if seen.install is None or not seen.install.output.strip():
        return []
    return [
        f"--- pip install, exit code {seen.install.exit_code}\n{plain(seen.install.output).rstrip()}"
    ]


def _suite_output(seen: Observation) -> list[str]:
    suite = seen.tests
    if suite is None or suite.passed or not suite.output.strip():
        return []
    return [f"--- {plain_line(suite.command)}\n{plain(suite.output).rstrip()}"]


def _import_text(outcome: ImportOutcome) -> str:
    text = "\n".join(part.rstrip() for part in (outcome.traceback, outcome.output) if part.strip())
    return f"--- import {plain_line(outcome.name)}\n{plain(text)}" if text else ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in plain(text).strip().splitlines())
