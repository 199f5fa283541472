"""What the page shows of one cell or wheel when it is clicked, and of the run as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.model.observation import ImportStatus, Observation, SuiteOutcome
from pytest_manylinux.model.run import RunRecord, WheelRecord
from pytest_manylinux.model.verdict import Finding, Verdict
from pytest_manylinux.report.matrix import Grid, Row
from pytest_manylinux.report.phrases import (
    build_words,
    cause_words,
    compiled_words,
    counted,
    extras_words,
    lowest_words,
    outcome_words,
    prediction_words,
    remembered_words,
    repeated_words,
    seen_words,
    suite_words,
    suites_words,
    tries_words,
    wheel_words,
)

_TESTS = 20  # names of failed tests
_SLOWEST = 5
_WORTH_TELLING = 0.1  # seconds


class Texts:
    """Texts by number, each kept once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text, made sound first."""
        number = self._numbers.get(text)  # of most: a sound text stays as it is
        if number is None:
            sound = plain(text)
            number = self._numbers.setdefault(sound, len(self.all))
            if number == len(self.all):
                self.all.append(sound)
            self._numbers[text] = number
        return number

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """The numbers of several."""
        return [self.number(text) for text in texts]


def cell_details(
    verdict: Verdict, texts: Texts, *, label: str, place: str, nights: str
) -> dict[str, object]:
    """Title, facts, findings, long texts, libraries and earlier nights of one cell.

    `facts` are pairs of text numbers, `blocks` are (heading, text) that fold out.
    """
    details: dict[str, object] = {
        "o": texts.number(outcome_words(verdict.outcome)),
        "t": texts.number(f"{label}, {place}"),
    }
    parts: dict[str, Sequence[object]] = {
        "facts": [texts.numbers(pair) for pair in _facts(verdict)],
        "findings": [_finding(finding, texts) for finding in verdict.findings],
        "ignored": [
            texts.numbers((f"{i.finding.code} {i.finding.name}: {i.finding.message}", i.reason))
            for i in verdict.ignored
        ],
    }
    seen = verdict.observation
    if seen is not None:
        parts["blocks"] = [texts.numbers(block) for block in _blocks(seen)]
        own, foreign = _libraries(seen, from_wheel=True), _libraries(seen, from_wheel=False)
        details |= _present({"own": texts.numbers(own), "sys": texts.numbers(foreign)})
    details |= _present(parts)
    if nights:
        details["nights"] = nights
    return details


def _present(parts: Mapping[str, Sequence[object]]) -> dict[str, object]:
    return {name: part for name, part in parts.items() if part}


def _facts(verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield "wheel", wheel_words(verdict.wheel)
    if verdict.cause is not None:
        yield "because", cause_words(verdict.cause)
    if verdict.reason:
        yield "reason", verdict.reason
    if verdict.tries is not None:
        yield "tries", tries_words(verdict.tries)
    if verdict.expectation is not None:
        yield "declared", f"{verdict.expectation.finding}: {verdict.expectation.reason}"
    if words := extras_words(verdict):
        yield "extras", words
    if verdict.observation is not None:
        yield from _observed(verdict.observation)


def _observed(seen: Observation) -> Iterable[tuple[str, str]]:
    yield "Python", seen.added_python or seen.python
    if seen.install is not None:
        yield "pip", seen.install.pip_version
    if seen.uv is not None:
        ended = "" if seen.uv.ok else " (did not install it)"
        yield "uv", f"{seen.uv.version or 'did not start'}{ended}"
    yield "C library", seen.libc
    yield "image", " ".join(filter(None, (seen.image_name, seen.image_source, seen.image)))
    if seen.image_note:
        yield "of the image", seen.image_note
    yield (
        "engine",
        " ".join(
            filter(
                None,
                (
                    seen.engine,
                    f"under {seen.emulator}" if seen.emulator else "",
                    f"with the system calls of Linux {seen.kernel}" if seen.kernel else "",
                    f"imported on {seen.processor}" if seen.processor else "",
                    f"on worker {seen.worker}" if seen.worker else "",
                ),
            )
        ),
    )
    if seen.install is not None and seen.install.installed:
        yield "installed", ", ".join(f"{name} {version}" for name, version in seen.install.installed)
    yield from _required(seen)
    if names := [o.name for o in seen.imports if o.status is ImportStatus.OK]:
        yield "imported", ", ".join(names)
    if seen.tests is not None:
        yield from _suite_facts(seen.tests)
    if words := seen_words(seen):
        yield "tried", words
    yield "took", f"{seen.duration:.1f} s"


def _required(seen: Observation) -> Iterable[tuple[str, str]]:
    """What was not as the index has it among the things that the wheel requires."""
    if seen.lowest:
        yield "as old as admitted", lowest_words(seen)
    if seen.compiled:
        yield "made for this trial", compiled_words(seen)
    if seen.siblings:
        rows = (f"{wheel_words(name)} (sha256 {digest[:12]})" for name, digest in seen.siblings)
        yield "with wheels of this run", ", ".join(rows)


def _suite_facts(suite: SuiteOutcome) -> Iterable[tuple[str, str]]:
    yield "tests", suite_words(suite)
    if failed := [case.name for case in suite.failing[:_TESTS]]:
        more = f" and {len(suite.failing) - _TESTS} more" if len(suite.failing) > _TESTS else ""
        yield "tests that failed", ", ".join(failed) + more
    slowest = sorted(suite.cases, key=lambda case: -case.duration)[:_SLOWEST]
    if slowest := [case for case in slowest if case.duration >= _WORTH_TELLING]:
        yield "slowest tests", ", ".join(f"{case.name} {case.duration:.1f} s" for case in slowest)
    yield "test command", suite.command


def _finding(finding: Finding, texts: Texts) -> list[object]:
    return [
        texts.number(f"{finding.code} {finding.name}"),
        finding.severity.value,
        texts.number(finding.message),
        texts.numbers(finding.evidence),
        texts.number(finding.remedy),
    ]


def _blocks(seen: Observation) -> Iterable[tuple[str, str]]:
    """The long texts, each with its heading."""
    for outcome in seen.imports:
        if outcome.status is ImportStatus.OK:
            continue
        words = f"import {plain_line(outcome.name)}: {outcome.status.value}"
        if outcome.signal is not None:
            words += f" {outcome.signal}"
        yield words, "\n".join(filter(None, (outcome.traceback, outcome.output, outcome.loader_words)))
    if seen.tests is not None:
        yield from _suite_blocks(seen.tests)
    for check in seen.loader:
        lines = [f"not found: {name}" for name in check.missing] + list(check.problems)
        yield f"loader: {plain_line(check.path)}", "\n".join(lines)
    for program in seen.programs:
        yield f"program: {plain_line(' '.join(program.command))}", program.output
    if seen.install is not None and seen.install.output.strip():
        yield f"pip install: exit code {seen.install.exit_code}", seen.install.output
    if seen.uv is not None and not seen.uv.ok:
        yield f"uv pip install: exit code {seen.uv.exit_code}", seen.uv.output


def _suite_blocks(suite: SuiteOutcome) -> Iterable[tuple[str, str]]:
    for case in suite.failing:
        if case.words:
            yield f"test: {plain_line(case.name)}", case.words
    if suite.output.strip():
        yield f"test command: {plain_line(suite.command)}", suite.output


def _libraries(seen: Observation, *, from_wheel: bool) -> list[str]:
    return [
        library.path
        for outcome in seen.imports
        for library in outcome.loaded
        if library.from_wheel is from_wheel
    ]


def wheel_details(
    row: Row, record: WheelRecord | None, texts: Texts, *, reach: int | None
) -> dict[str, object]:
    """Facts of one wheel and which picture of its reach to show."""
    facts: list[tuple[str, str]] = [("file", wheel_words(row.wheel))]
    if record is not None:
        audit, build = record.audit, record.build
        facts += [
            ("SHA-256", record.sha256),
            ("size", f"{record.size:,} bytes"),
            ("tags", " ".join(record.tags)),
            ("reported under", record.group),
        ]
        if audit is not None:
            facts += [
                ("promises", " ".join(audit.promised)),
                ("keeps", audit.deserved),
                *(("decided by", reason) for reason in audit.reasons),
            ]
        if build is not None:
            changed = " with changes that are not committed" if build.dirty else ""
            facts += [
                ("built from", f"{build.project} {build.commit}{changed}"),
                ("builder", f"{build.builder} {build.image_name} {build.image}"),
                ("tools", ", ".join(f"{name} {version}" for name, version in build.tools)),
                ("build requirements", ", ".join(f"{n} {v}" for n, v in build.requirements)),
            ]
    details: dict[str, object] = {
        "t": texts.number(wheel_words(row.wheel)),
        "facts": [texts.numbers(fact) for fact in facts if fact[1].strip()],
    }
    if reach is not None:
        details["reach"] = reach
    return details


def run_scope(record: RunRecord, layout: Grid) -> str:
    """How much was tried, where, and when, in a line."""
    started = datetime.fromtimestamp(record.started, tz=timezone.utc)
    wheels = counted(len(layout.rows), "wheel")
    distros = counted(len({column.distro for column in layout.columns}), "distro")
    return f"{wheels}, {distros}, {record.engine or 'no engine'}, {started:%Y-%m-%d %H:%M} UTC"


def run_facts(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """When, how long, with what: pairs of a name and a value."""
    started = datetime.fromtimestamp(record.started, tz=timezone.utc)
    facts = [
        ("run", f"{started:%Y-%m-%d %H:%M} UTC, {record.duration:.0f} s"),
        ("pytest-manylinux", record.tool_version),
        ("engine", f"{record.engine} {record.engine_version}"),
        ("host", f"{record.kernel}, Python {record.host_python}, pytest {record.pytest_version}"),
        ("catalogue", record.catalogue_version),
    ]
    facts.append(("prediction", prediction_words(record.verdicts)))
    facts.append(("tests", suites_words(record.verdicts)))
    facts.append(("repeated", repeated_words(record.verdicts)))
    facts.append(("remembered", remembered_words(record.verdicts)))
    if record.shard is not None:
        facts.append(("shard", f"{record.shard.index} of {record.shard.count}"))
    if record.merged:
        facts.append(("merged from", f"{len(record.merged)} proofs"))
    return tuple(fact for fact in facts if fact[1].strip())


def run_images(verdicts: Iterable[Verdict]) -> tuple[tuple[str, str, str], ...]:
    """Name, source and digest of every image that was used."""
    seen = {
        (v.observation.image_name, v.observation.image_source, v.observation.image)
        for v in verdicts
        if v.observation is not None
    }
    return tuple(sorted(seen))


def run_builds(record: RunRecord) -> tuple[tuple[str, ...], ...]:
    """A row a build: project, Python, policy, builder, commit, tools, result."""
    return tuple(
        (
            build.project,
            build.python,
            f"{build.policy}: {build.policy_why}" if build.policy_why else build.policy,
            build.builder,
            f"{build.commit[:12]}{' with changes' if build.dirty else ''}",
            ", ".join(f"{name} {version}" for name, version in build.tools),
            build_words(build),
        )
        for build in record.builds
    )
