"""From facts and observations to a verdict."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pytest_manylinux.diagnose.check_registry import checks, make_finding
from pytest_manylinux.diagnose.expectations import apply_expectations
from pytest_manylinux.diagnose.ignoring import apply_ignores
from pytest_manylinux.diagnose.merging import merged
from pytest_manylinux.diagnose.predict import held_against, predict_target, surveyed
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.model.distro import Survey, Target
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.model.verdict import Cause, Finding, Outcome, Severity, Verdict
from pytest_manylinux.model.wheel import Audit, ElfFacts, ElfKind, Wheel, WheelFacts

__all__ = ["apply_expectations", "apply_ignores", "judge", "judge_audit", "judge_unreadable"]


def judge(
    facts: WheelFacts,
    observation: Observation,
    target: Target,
    *,
    wheel: Wheel,
    survey: Survey | None = None,
) -> Verdict:
    """Say what one trial amounts to.

    Only what was observed decides; the errors of the verdict are findings of what the trial saw.
    What the bytes had led one to expect is held against it: `prediction-wrong` where they disagree.
    A `survey` of the trial's image stands in for the catalogue's figures there.
    """
    findings = merged(_observed(facts, observation, target))
    outcome, cause, reason = _outcome(facts, observation, target, findings)
    expected = predict_target(facts, target if survey is None else surveyed(target, survey))
    prediction, told = held_against(expected, outcome, findings)
    findings += told
    return Verdict(
        outcome=outcome,
        subject=target.id,
        wheel=wheel.filename,
        wheel_sha256=wheel.sha256,
        findings=findings,
        cause=cause,
        reason=reason,
        observation=observation,
        prediction=prediction,
    )


def judge_audit(facts: WheelFacts, audit: Audit, *, also: Sequence[Finding] = ()) -> Verdict:
    """Say what the audit amounts to: the tag's truth, and what the bytes alone show.

    `also` are findings that were made elsewhere, by what is not among the facts.
    """
    findings = merged(itertools.chain(_audited(facts, audit), also))
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    return Verdict(
        outcome=Outcome.NOT_PORTABLE if errors else Outcome.PORTABLE,
        subject="audit",
        wheel=facts.wheel.filename,
        wheel_sha256=facts.wheel.sha256,
        findings=findings,
        reason=errors[0].message if errors else "",
    )


def judge_unreadable(filename: str, error: ManylinuxError, *, subject: str = "audit") -> Verdict:
    """The verdict on a file that is called a wheel and cannot be read as one."""
    finding = make_finding(
        "wheel-malformed",
        error.what,
        evidence=[error.why] if error.why else [],
        remedy=error.remedy,
    )
    return Verdict(
        outcome=Outcome.NOT_PORTABLE,
        subject=subject,
        wheel=filename,
        wheel_sha256="",
        findings=(finding,),
        reason=error.what,
    )


def _observed(facts: WheelFacts, observation: Observation, target: Target) -> Iterator[Finding]:
    for check in checks():
        if check.dynamic is not None:
            yield from check.dynamic(facts, observation, target)


def _audited(facts: WheelFacts, audit: Audit) -> Iterator[Finding]:
    for check in checks():
        if check.audit is not None:
            yield from check.audit(facts, audit)
        if check.wheel is not None:
            yield from check.wheel(facts)


def _outcome(
    facts: WheelFacts, observation: Observation, target: Target, findings: tuple[Finding, ...]
) -> tuple[Outcome, Cause | None, str]:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        return Outcome.NOT_PORTABLE, None, errors[0].message
    if observation.install is None:
        return Outcome.NOT_PROVEN, Cause.ENGINE, "the trial ended before pip was asked"
    if not observation.install.ok:
        lacking = next((f for f in findings if f.name == "dependency-unavailable"), None)
        words = lacking.message if lacking else "pip did not install the wheel"
        return Outcome.NOT_PROVEN, Cause.DEPENDENCY, words
    if observation.tests is not None and observation.tests.not_run:
        return Outcome.NOT_PROVEN, Cause.TESTS, f"no test ran: {observation.tests.not_run}"
    return _untouched(facts, observation, target)


def _untouched(
    facts: WheelFacts, observation: Observation, target: Target
) -> tuple[Outcome, Cause | None, str]:
    """The verdict on a wheel that was installed and that nothing speaks against.

    Something must speak for it: an import, a program that was started, a library that was opened, a
    program that the loader resolved. A refusal, or an answer that says nothing, is not evidence. A
    wheel of data alone is proven by its installation, because there is nothing else that it could do.
    """
    spoken = (outcome for outcome in observation.imports if not outcome.foreign_file)
    if any(outcome.status is ImportStatus.OK for outcome in spoken) or observation.programs:
        return Outcome.PORTABLE, None, ""
    if any(launch.started for launch in observation.launches):
        return Outcome.PORTABLE, None, "nothing to import; its programs can be started"
    if any(library.opened for library in observation.libraries):
        return Outcome.PORTABLE, None, "nothing to import; its libraries can be opened"
    if any(check.resolved for check in observation.loader):
        return Outcome.PORTABLE, None, "nothing to import; the loader resolved every program"
    if facts.top_level or any(_could_act(elf, target) for elf in facts.elf):
        names = ", ".join(facts.top_level[:3]) or "only libraries that nothing here loads"
        return (
            Outcome.NOT_PROVEN,
            Cause.NOTHING_TO_IMPORT,
            f"nothing was imported, started or opened (the wheel holds: {names})",
        )
    return Outcome.PORTABLE, None, "nothing to import or run: installed, which is all it can do"


def _could_act(elf: ElfFacts, target: Target) -> bool:
    """Whether a machine of the target could load or run the file: other ELF files are data there."""
    return elf.arch == target.arch and elf.kind in {ElfKind.SHARED, ElfKind.PROGRAM}
