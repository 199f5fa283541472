"""What a run leaves behind when asked: reports, a proof, a history, the gate's word."""

from __future__ import annotations

import gc
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_manylinux.artifacts import read_artifact
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.gate import decide
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Cause
from pytest_manylinux.model.wheel import Wheel, WheelFacts
from pytest_manylinux.report.cyclonedx import write_sbom
from pytest_manylinux.report.destinations import Destination, ReportForm, check_destinations
from pytest_manylinux.report.diff import History, durations, keep, load_history
from pytest_manylinux.report.markdown import append_summary, workflow_annotations, write_markdown
from pytest_manylinux.report.phrases import counted
from pytest_manylinux.report.proof import require_library, write_proof
from pytest_manylinux.report.shards import balance
from pytest_manylinux.run.session import Run
from pytest_manylinux.upload_rules.index_rules import index_rules
from pytest_manylinux.upload_rules.review import review

_SUMMARY = "GITHUB_STEP_SUMMARY"
_MARK = re.compile("[:;] ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Files and folders that the command line asked for, absolute; None for what it did not.

    `sigstore` has the proof signed with this CI job's own identity.
    """

    proof: Path | None = None
    sbom: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    sign_key: Path | None = None
    history: Path | None = None
    sigstore: bool = False

    def write(self, record: RunRecord, facts_of: Callable[[Wheel], WheelFacts]) -> list[Path]:
        """Write all of it; gives the paths. Raises ReportError and UsageError (the key).

        `facts_of` reads a wheel, or recalls what was read of it.
        """
        written: list[Path] = []
        if self.proof is not None:
            write_proof(record, self.proof, sign_key=self.sign_key, as_myself=self.sigstore)
            written.append(self.proof)
        if self.sbom is not None:
            paths = dict.fromkeys(wheel.path for wheel in record.wheels if wheel.path is not None)
            facts = [facts_of(open_wheel(path)) for path in paths]
            write_sbom(facts, self.sbom, written=record.started)
            written.append(self.sbom)
        if self.html is not None:
            from pytest_manylinux.report.page.view import write_html  # noqa: PLC0415 - loads slowly

            write_html(record, self.html, history=self._earlier(record))
            # The template's context is a cycle, with all that the page was made from: that is given
            # back before pytest's JUnit report takes as much.
            gc.collect()
            written.append(self.html)
        if self.markdown is not None:
            write_markdown(record, self.markdown)
            written.append(self.markdown)
        if self.history is not None:
            written.append(keep(record, self.history))
        return written

    def _earlier(self, record: RunRecord) -> History | None:
        if self.history is None or not self.history.is_dir():
            return None
        return load_history(self.history, before=record.started)

    def usual(self) -> Mapping[str, float]:
        """Seconds by build and trial, from the history; empty without one."""
        if self.history is None or not self.history.is_dir():
            return {}
        return durations(load_history(self.history).records)

    def weights(self) -> Mapping[str, float]:
        """Seconds by node path, from the history; empty without one."""
        found: dict[str, float] = {}
        for key, seconds in self.usual().items():
            group = key.rpartition("::")[0]
            found[group] = found.get(group, 0.0) + seconds
        return found


_FORMS = {
    "proof": ReportForm.JSON,
    "sbom": ReportForm.JSON,
    "html": ReportForm.HTML,
    "markdown": ReportForm.MARKDOWN,
}


def outputs_of(option: Callable[[str], Any], here: Path) -> Outputs:
    """What the command line asks for; `option` gives a flag's value by its name in pytest.

    Paths are from `here`. Raises UsageError for what could not be written, or would replace something
    else than a report, before anything is run.
    """
    paths: dict[str, Path] = {}
    for name in (*_FORMS, "sign_key", "history"):
        value = option(f"manylinux_{name}")
        if value == "":
            raise UsageError(
                f"{_flag(name)} has no value", remedy="name a place, or leave the flag out"
            )
        if value is not None:
            paths[name] = here / value
    sigstore = bool(option("manylinux_sigstore"))
    if sigstore:
        require_library()
    if "proof" not in paths and (sigstore or "sign_key" in paths):
        raise UsageError(
            f"{_flag('sigstore' if sigstore else 'sign_key')} has nothing to sign",
            why="it signs the proof, and no proof was asked for",
            remedy="add --manylinux-proof=FILE",
        )
    if "sign_key" in paths:
        _check_key(paths["sign_key"], also_sigstore=sigstore)
    check_destinations(
        Destination(_flag(name), paths[name], form) for name, form in _FORMS.items() if name in paths
    )
    history = paths.get("history")
    if history is not None and history.exists() and not history.is_dir():
        raise UsageError(f"{_flag('history')}: {history} is no folder", remedy="name a folder")
    return Outputs(sigstore=sigstore, **paths)


def _check_key(file: Path, *, also_sigstore: bool) -> None:
    """Raise UsageError for a key that could not sign what the run is about to prove."""
    from pytest_manylinux.report import signing  # noqa: PLC0415 - of few runs, and it loads slowly

    if also_sigstore:
        raise UsageError("a proof is signed with a key or by an identity, not both")
    signing.load_private_key(file)


def _flag(name: str) -> str:
    return f"--manylinux-{name.replace('_', '-')}"


def speak_to_forge(record: RunRecord, environment: Mapping[str, str]) -> Sequence[str]:
    """Add to a GitHub step's summary if there is one; gives annotations to print."""
    if summary := environment.get(_SUMMARY):
        append_summary(record, Path(summary))
    return workflow_annotations(record, environment)


def image_notes(record: RunRecord) -> list[str]:
    """What was not as usual with the images of this run, each once."""
    seen = [verdict.observation for verdict in record.verdicts if verdict.observation is not None]
    return list(dict.fromkeys(observation.image_note for observation in seen if observation.image_note))


def untargeted_notes(record: RunRecord) -> list[str]:
    """How many wheels no target of the run takes, a line each reason; what several share comes last."""
    untried = [v for v in record.verdicts if v.cause is Cause.NO_TARGET and v.wheel.endswith(".whl")]
    total = counted(len(record.wheels), "wheel")
    counts = Counter(verdict.reason for verdict in untried)
    sharing = Counter(more for reason in counts for _, more in _divisions(reason))
    lines, shared = [], Counter[str]()
    for reason, count in counts.most_common():
        ways = (way for way in _divisions(reason) if sharing[way[1]] > 1)
        own, more = next(ways, (reason, ""))
        shared[more] += count
        lines.append(f"{count} of {total} not tried: {own}")
    return lines + [f"for {count} of these: {more}" for more, count in shared.most_common() if more]


def _divisions(reason: str) -> list[tuple[str, str]]:
    """A reason divided at each of its marks: what it begins with, and what it ends with."""
    return [(reason[: mark.start()], reason[mark.end() :]) for mark in _MARK.finditer(reason)]


def gate_words(run: Run, record: RunRecord) -> tuple[ExitCode, list[str]]:
    """The gate's word on the wheels of this very run: exit code, and lines for people."""
    rule = run.settings.gate
    required = run.catalogue.select(rule.require, where="gate: require") or record.distros
    artifacts = [read_artifact(wheel.path) for wheel in record.wheels if wheel.path is not None]
    index = index_rules(rule.index)
    reviews = {artifact.path: review(artifact.path, index) for artifact in artifacts}
    decision = decide(artifacts, record, rule, required=required, now=time.time(), reviews=reviews)
    lines = [
        f"gate: {ruling.artifact.filename}: {reason.text}"
        for ruling in decision.rulings
        for reason in ruling.reasons
        if reason.code is not ExitCode.OK
    ]
    lines += [f"gate: {line}" for line in decision.coverage_lines()]
    if decision.code is ExitCode.OK:
        count = len(decision.rulings)
        lines.append(f"gate: {'the wheel' if count == 1 else f'all {count} wheels'} may pass")
    return decision.code, lines


def divide(
    groups: Iterable[str], weights: Mapping[str, float], count: int
) -> tuple[frozenset[str], ...]:
    """Divide node paths among shards; what belongs to one project or wheel stays together."""
    return balance({os.fspath(group): weights.get(group) for group in groups}, count)
