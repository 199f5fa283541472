"""The gate: a file passes only if a proof covers its exact bytes where the rules ask for it.

Pure: artifacts.py has read the files. What decides is the proof, never a fresh trial; what is
missing, too old or contradictory refuses. The rules are the table `[tool.pytest-manylinux.gate]`, which
docs/reference/gate.md explains.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.tags import Tag

from pytest_manylinux.artifacts import Artifact, ArtifactKind, attestation_problem
from pytest_manylinux.config.settings import WHOLE, GateRule
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.distro import Distro, split_target_id
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.model.wheel_tags import supported_tags
from pytest_manylinux.plan import accepts_python, targets_of, wheel_targets
from pytest_manylinux.upload_rules.index_rules import rule_text
from pytest_manylinux.upload_rules.release import ReleaseFault
from pytest_manylinux.upload_rules.review import Review

DAY = 86_400.0
_NAMES_SHOWN = 5
_PROVE = "prove these: `pytest --manylinux FILE --manylinux-proof=PROOF`"
# Clocks of two machines differ; a proof from further ahead than this is not believed.
CLOCK_SLACK = 600.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of a ruling. `code` is OK for what speaks for the file.

    `untried` tells that it is about a wheel that no target of the proven run could take, which the
    rule `require-coverage` may let through. `unasked` is a distro that asks nothing of the wheel.
    """

    code: ExitCode
    text: str
    untried: bool = False
    breach: bool = False  # of a rule of the index
    unasked: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The gate's word on one file, with every reason."""

    artifact: Artifact
    reasons: tuple[Reason, ...]

    @property
    def code(self) -> ExitCode:
        """OK only if every reason is; not portable outweighs not proven."""
        return _worst(reason.code for reason in self.reasons)

    @property
    def unproven(self) -> str:
        """Why a wheel was not proven, let through or not; empty if it was."""
        told = [reason for reason in self.reasons if not reason.breach]
        found = [r for r in told if r.untried or r.code is ExitCode.NOT_PROVEN]
        return found[0].text if found else ""

    @property
    def only_untried(self) -> bool:
        """Whether nothing speaks against the wheel but that no target could take it."""
        against = [reason for reason in self.reasons if reason.code is not ExitCode.OK]
        return bool(against) and all(reason.untried for reason in against)


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's word on all files together."""

    rulings: tuple[Ruling, ...]
    release: tuple[ReleaseFault, ...] = ()
    whole: bool = False  # whether faults of the release refuse

    @property
    def wheels(self) -> tuple[Ruling, ...]:
        """Those on wheels for Linux, which are the ones that can be proven."""
        return tuple(ruling for ruling in self.rulings if _can_be_proven(ruling.artifact))

    @property
    def unproven(self) -> Counter[str]:
        """How many of these wheels were not proven, by the reason."""
        return Counter(ruling.unproven for ruling in self.wheels if ruling.unproven)

    def coverage_lines(self) -> list[str]:
        """`31 of 90 wheels of this release were not proven:`, and a line each reason."""
        count, total = self.unproven.total(), len(self.wheels)
        if not count:
            return []
        verb = "was" if count == 1 else "were"
        noun = "wheel" if total == 1 else "wheels"
        return [
            f"{count} of {total} {noun} of this release {verb} not proven:",
            *(f"  {number}: {reason}" for reason, number in self.unproven.most_common()),
        ]

    @property
    def unasked(self) -> tuple[str, ...]:
        """The required distros that ask nothing of any of these wheels: none was to be shown there."""
        each = [[reason.unasked for reason in ruling.reasons] for ruling in self.wheels]
        found = dict.fromkeys(name for names in each for name in names if name)
        return tuple(name for name in found if all(name in names for names in each))

    @property
    def refuses_release(self) -> bool:
        """Whether the files together have a fault that refuses."""
        return self.whole and any(fault.refuses for fault in self.release)

    @property
    def code(self) -> ExitCode:
        """The exit code: OK only if there are files and every one passes, and all of them together."""
        if not self.rulings:
            return ExitCode.NOT_PROVEN
        whole = ExitCode.NOT_PORTABLE if self.refuses_release else ExitCode.OK
        return _worst([whole, *(ruling.code for ruling in self.rulings)])


class Demand(enum.Enum):
    """What a required distro asks of a wheel, by the wheel's name and the distro's row."""

    TRIAL = "trial"
    OTHER_PYTHON = "its Python is another one"
    OTHER_PLATFORM = "the wheel is for other machines"
    TOO_OLD = "its C library is older than the wheel's policy"


def decide(
    artifacts: Iterable[Artifact],
    record: RunRecord,
    rule: GateRule,
    *,
    required: Sequence[Distro],
    now: float,
    reviews: Mapping[Path, Review] | None = None,
) -> Decision:
    """Rule on each file.

    `required` are the rows of `rule.require`; if that is empty, the proof's own distros. `now` is in
    seconds since the epoch. `reviews` are what the index would say of the files, by path.
    """
    files = tuple(artifacts)
    gate = _Gate(
        record=record,
        rule=rule,
        required=tuple(required),
        now=now,
        reviews=dict(reviews or {}),
        files=files,
    )
    strict = Decision(tuple(Ruling(artifact, tuple(gate.reasons(artifact))) for artifact in files))
    return _with_coverage(strict, rule.require_coverage)


def _with_coverage(strict: Decision, least: float) -> Decision:
    """Let wheels through that nothing could take, if enough of the others were proven.

    `least` is the percentage of the wheels for Linux that have to pass by themselves: at least one.
    """
    passed = sum(ruling.code is ExitCode.OK for ruling in strict.wheels)
    if not passed or least >= WHOLE or WHOLE * passed < least * len(strict.wheels):
        return strict
    note = f"let through unproven (require-coverage = {least:g})"
    return Decision(
        tuple(
            replace(ruling, reasons=tuple(_waived(reason, note) for reason in ruling.reasons))
            if ruling.only_untried
            else ruling
            for ruling in strict.rulings
        )
    )


def _waived(reason: Reason, note: str) -> Reason:
    if reason.code is ExitCode.OK:
        return reason
    return replace(reason, code=ExitCode.OK, text=f"{reason.text}; {note}")


def _can_be_proven(artifact: Artifact) -> bool:
    return artifact.kind is ArtifactKind.WHEEL and not artifact.is_foreign


def _worst(codes: Iterable[ExitCode]) -> ExitCode:
    found = set(codes)
    for code in (ExitCode.NOT_PORTABLE, ExitCode.NOT_PROVEN):
        if code in found:
            return code
    return ExitCode.OK


def demand(tags: frozenset[Tag], requires_python: str, distro: Distro) -> Demand:
    """Whether a distro asks for a trial of a wheel with these tags, and if not, why.

    A distro whose Python the wheel is not for asks for nothing. One whose Python fits but whose
    C library is older than every policy for it in the name cannot take the wheel, which is a refusal.
    """
    targets = [target for arch in distro.architectures for target in targets_of((distro,), arch, ())]
    if wheel_targets(tags, requires_python, targets):
        return Demand.TRIAL
    pairs = {(tag.interpreter, tag.abi) for tag in tags}
    fitting = [
        target
        for target in targets
        if accepts_python(requires_python, target.interpreter.version)
        and pairs & {(tag.interpreter, tag.abi) for tag in supported_tags(target)}
    ]
    if not fitting:
        return Demand.OTHER_PYTHON
    policies = [found for tag in tags if (found := policy_of_platform_tag(tag.platform))]
    if any(
        arch in distro.architectures and policy.kind is distro.libc.kind for policy, arch in policies
    ):
        return Demand.TOO_OLD
    return Demand.OTHER_PLATFORM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    record: RunRecord
    rule: GateRule
    required: tuple[Distro, ...]
    now: float
    reviews: Mapping[Path, Review] = field(default_factory=dict)
    files: tuple[Artifact, ...] = ()

    def reasons(self, artifact: Artifact) -> Iterator[Reason]:
        """Every reason for and against one file."""
        yield from self._index(artifact)
        if artifact.kind is ArtifactKind.SDIST:
            yield Reason(ExitCode.OK, "a source distribution: there is nothing to prove")
        elif artifact.kind is ArtifactKind.ATTESTATION:
            problem = attestation_problem(artifact, self.files)
            about = f"an attestation of the bytes of {artifact.attests}"
            yield _unproven(f"an attestation: {problem}") if problem else Reason(ExitCode.OK, about)
        elif artifact.kind is ArtifactKind.OTHER:
            breaches = self.reviews.get(artifact.path, Review()).breaches
            if all(breach.detail != artifact.problem for breach in breaches):
                yield _unproven(f"neither wheel nor source distribution: {artifact.problem}")
        elif artifact.is_foreign and self.rule.other_platforms == "allow":
            yield Reason(ExitCode.OK, "not for Linux: let through unproven (other-platforms = allow)")
        elif artifact.is_foreign:
            yield _unproven(
                "not for Linux, so nothing can be proven: `--other-platforms=allow` lets it through"
            )
        else:
            yield from self._wheel(artifact)

    def _index(self, artifact: Artifact) -> Iterator[Reason]:
        """What the index would say of the file; what is not proven anyway stays that."""
        wheel = artifact.kind is ArtifactKind.WHEEL and not artifact.is_foreign
        unproven = artifact.kind is ArtifactKind.OTHER or (wheel and self._uncovered(artifact))
        code = ExitCode.NOT_PROVEN if unproven else ExitCode.NOT_PORTABLE
        review = self.reviews.get(artifact.path, Review())
        for breach in review.breaches:
            words = f"{breach.detail} ({rule_text(breach.rule)})"
            if breach.rule.refuses:
                yield Reason(code, f"{words}; {breach.rule.remedy}", breach=True)
            else:
                yield Reason(ExitCode.OK, f"{words}; the index takes it all the same")
        for unknown in review.unknown:
            yield Reason(ExitCode.OK, f"not known here: {unknown}")

    def _wheel(self, artifact: Artifact) -> Iterator[Reason]:
        shard = self.record.shard
        if shard is not None and shard.count > 1:
            yield _unproven(
                f"the proof is part {shard.index} of {shard.count} only; pytest-manylinux proof merge"
            )
        if problem := self._uncovered(artifact):
            yield _unproven(problem)
            return
        verdicts = [
            verdict
            for verdict in self.record.verdicts
            if (verdict.wheel, verdict.wheel_sha256) == (artifact.filename, artifact.sha256)
        ]
        yield from self._audit(verdicts)
        yield from self._trials(artifact, verdicts)

    def _uncovered(self, artifact: Artifact) -> str:
        """Why the proof is not of this file; empty if it is."""
        digests = {wheel.sha256: wheel.file for wheel in self.record.wheels}
        files = {(wheel.file, wheel.sha256) for wheel in self.record.wheels}
        if (artifact.filename, artifact.sha256) in files:
            return ""
        if artifact.sha256 in digests:
            other = digests[artifact.sha256]
            return (
                f"proven under another name, {other}: the tags are part of the proof; upload that "
                f"file, or {_PROVE}"
            )
        if artifact.filename in digests.values():
            return f"the proof is of other bytes under this name; upload those, or {_PROVE}"
        return f"the proof does not know these bytes; {_PROVE}"

    def _audit(self, verdicts: Sequence[Verdict]) -> Iterator[Reason]:
        audits = [verdict for verdict in verdicts if verdict.subject == "audit"]
        if not audits:
            yield _unproven("its audit is not in the proof")
        for verdict in audits:
            yield self._judge(verdict, "audit")

    def _trials(self, artifact: Artifact, verdicts: Sequence[Verdict]) -> Iterator[Reason]:
        by_distro: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            if target := split_target_id(verdict.subject):
                by_distro.setdefault(target[0], []).append(verdict)
        others = [verdict for verdict in verdicts if split_target_id(verdict.subject) is None]
        untried = any(_has_no_target(verdict) for verdict in others)
        for verdict in others:
            if verdict.subject != "audit":
                yield self._judge(verdict, verdict.subject)
        for distro in self.required:
            yield from self._distro(artifact, distro, by_distro.pop(distro.id, []), untried=untried)
        if not self.rule.require:
            for found in by_distro.values():
                yield from (self._judge(verdict, verdict.subject) for verdict in found)
        passed = any(_is_pass(verdict) for verdict in verdicts if split_target_id(verdict.subject))
        if not passed and not untried:
            yield _unproven("no trial of it passed anywhere")

    def _distro(
        self, artifact: Artifact, distro: Distro, verdicts: Sequence[Verdict], *, untried: bool
    ) -> Iterator[Reason]:
        if verdicts:
            yield from (self._judge(verdict, verdict.subject) for verdict in verdicts)
            return
        wanted = demand(artifact.tags, artifact.requires_python, distro)
        if wanted is Demand.TRIAL:
            # A run that was asked for the distro may lack what runs the wheel's architecture.
            asked = distro.id in {row.id for row in self.record.distros}
            text = f"{distro.id}: required, and not in the proof"
            yield Reason(ExitCode.NOT_PROVEN, text, untried=untried and asked)
        elif wanted is Demand.TOO_OLD:
            words = f"{distro.id}: required, but {wanted.value} (it has {distro.libc})"
            yield Reason(ExitCode.NOT_PORTABLE, words)
        else:
            yield Reason(ExitCode.OK, f"{distro.id}: not asked, {wanted.value}", unasked=distro.id)

    def _judge(self, verdict: Verdict, place: str) -> Reason:
        """One verdict: its outcome, what was waved through, and its age."""
        if _has_no_target(verdict):
            return Reason(ExitCode.NOT_PROVEN, f"not tried: {verdict.reason}", untried=True)
        if verdict.outcome is Outcome.NOT_PROVEN:
            cause = "" if verdict.cause is None else verdict.cause.value
            return _unproven(f"{place}: not proven ({verdict.reason or cause})")
        if verdict.outcome is Outcome.NOT_PORTABLE:
            return Reason(ExitCode.NOT_PORTABLE, f"{place}: not portable ({_names(verdict)})")
        if waved := _waved_through(verdict):
            if not self.rule.allow_ignored:
                return Reason(ExitCode.NOT_PORTABLE, f"{place}: {waved} (allow-ignored = false)")
            return self._aged(verdict, f"{place}: {waved}, allowed")
        return self._aged(verdict, f"{place}: portable{_left_out(verdict)}")

    def _aged(self, verdict: Verdict, text: str) -> Reason:
        """The reason for a pass, unless it is without tests, too old, or from the future."""
        if self.rule.require_tests and (lacking := _without_tests(verdict)):
            return _unproven(f"{text}, but {lacking} (require-tests = true)")
        seen = verdict.observation
        started = self.record.started if seen is None or not seen.started else seen.started
        age = self.now - started
        if age < -CLOCK_SLACK:
            return _unproven(f"{text}, but at a time that is still to come: a clock is wrong")
        if self.rule.max_age and age > self.rule.max_age * DAY:
            return _unproven(
                f"{text}, but {age / DAY:.1f} days ago (max-age is {self.rule.max_age:g} days)"
            )
        return Reason(ExitCode.OK, text)


def _unproven(text: str) -> Reason:
    return Reason(ExitCode.NOT_PROVEN, text)


def _left_out(verdict: Verdict) -> str:
    """The names that the configuration kept from being imported, in words; empty if there are none."""
    names = verdict.observation.left_out if verdict.observation else ()
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"; not imported, by its settings: {', '.join(names[:_NAMES_SHOWN])}{more}" if names else ""


def _has_no_target(verdict: Verdict) -> bool:
    """Whether it says that no target of the run could take the wheel."""
    return verdict.outcome is Outcome.NOT_PROVEN and verdict.cause is Cause.NO_TARGET


def _is_pass(verdict: Verdict) -> bool:
    return verdict.outcome.passes


def _names(verdict: Verdict) -> str:
    return ", ".join(dict.fromkeys(finding.name for finding in verdict.errors)) or verdict.reason


def _without_tests(verdict: Verdict) -> str:
    """Why a passing trial says nothing of the project's own tests; empty if it does, or is an audit."""
    if split_target_id(verdict.subject) is None:
        return ""
    suite = None if verdict.observation is None else verdict.observation.tests
    if suite is None:
        return "its tests were not run"
    if suite.skipped or suite.not_run:
        return f"its tests were not run: {suite.skipped or suite.not_run}"
    return ""


def _waved_through(verdict: Verdict) -> str:
    """Faults that the project declared or chose to ignore, in words; empty if there are none."""
    if verdict.outcome is Outcome.EXPECTED:
        return f"a declared fault ({_names(verdict)})"
    names = ", ".join(dict.fromkeys(ignored.finding.name for ignored in verdict.ignored))
    return f"portable with ignored findings ({names})" if names else ""
