"""From facts and observations to a verdict, and what the project has declared of it.

Findings that say the same are made one. Then the project's rules hold: findings that it ignores or
weighs less (the verdict keeps what they were), and faults that it expects. Last, what earlier tries
of the same wheel in the same place came to: tries that disagree are a finding.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pytest_manylinux.config.settings import IgnoreRule
from pytest_manylinux.diagnose.check_registry import checks, find_check, make_finding
from pytest_manylinux.diagnose.loader_words import is_resolved, same_file
from pytest_manylinux.diagnose.predict import WEIGHT, held_against, merged, predict_target, surveyed
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.model.distro import Survey, Target
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.model.verdict import (
    FLAKY,
    Cause,
    Expectation,
    Finding,
    Foretold,
    Ignored,
    Outcome,
    Severity,
    Tries,
    Verdict,
)
from pytest_manylinux.model.wheel import Audit, Wheel, WheelFacts

# Subjects that are no distro: `*` does not speak of them, they are declared by their own word.
NOT_DISTROS = frozenset({"audit", "build"})


def apply_expectations(
    verdict: Verdict, expectations: Sequence[Expectation], distro_id: str
) -> Verdict:
    """Hold a verdict against what the project declares for the distro.

    Every declared fault happened and nothing else is wrong: EXPECTED. A declared fault that did not
    happen: NOT_PORTABLE, with a finding. An error that nobody declared: as it was, unless `flaky` is
    declared and happened, for then chance decides which error is seen. What is not proven stays so.
    A single test has happened if it failed; `tests-failed` as a whole is declared where each test that
    failed is. A fault has happened if the finding weighs what it usually weighs: a warning is none of
    `missing-library`, but it is one of `system-library-shadowed`.

    `distro_id` is `audit` or `build` for verdicts that belong to no distro.
    """
    declared = tuple(
        e for e in expectations if _speaks_of(e, distro_id) and (not e.test or _ran(verdict))
    )
    if not declared or verdict.outcome is Outcome.NOT_PROVEN:
        return verdict
    failing = _failing(verdict)
    whole = [expectation for expectation in declared if not expectation.test]
    names = {_name(expectation) for expectation in whole}
    seen = {finding.name for finding in verdict.findings if _weighs(finding)}
    absent = tuple(e for e in declared if not _happened(e, seen, failing))
    if absent:
        return _not_met(verdict, absent)
    if _all_declared(verdict, declared, failing):
        names.add(OF_TESTS)
    if FLAKY not in names and {finding.name for finding in verdict.errors} - names:
        return verdict
    first = declared[0]
    return replace(verdict, outcome=Outcome.EXPECTED, reason=first.reason, expectation=first)


OF_TESTS = "tests-failed"


def _failing(verdict: Verdict) -> tuple[str, ...]:
    """The tests of the project that failed in a suite that came to its end."""
    suite = None if verdict.observation is None else verdict.observation.tests
    return () if suite is None else tuple(case.name for case in suite.failing)


def _happened(expectation: Expectation, seen: Collection[str], failing: Collection[str]) -> bool:
    if expectation.test:
        return any(is_test(name, expectation.test) for name in failing)
    return _name(expectation) in seen


def _all_declared(verdict: Verdict, declared: Iterable[Expectation], failing: Collection[str]) -> bool:
    """Whether all that is wrong with the suite is that tests fail which are declared, one by one."""
    suite = None if verdict.observation is None else verdict.observation.tests
    if suite is None or not failing or suite.overdue or not suite.complete or suite.exit_code != 1:
        return False
    patterns = [expectation.test for expectation in declared if expectation.test]
    return all(any(is_test(name, pattern) for pattern in patterns) for name in failing)


def is_test(name: str, pattern: str) -> bool:
    """Whether a declaration speaks of a test: by its id, the end of that, or a pattern (fnmatch)."""
    ends = (f"::{pattern}", f".{pattern}", f" ({pattern})")
    return name == pattern or name.endswith(ends) or fnmatchcase(name, pattern)


def _weighs(finding: Finding) -> bool:
    return WEIGHT[finding.severity] <= WEIGHT[find_check(finding.name).severity]


def _speaks_of(expectation: Expectation, distro_id: str) -> bool:
    anywhere = expectation.distro == "*" and distro_id not in NOT_DISTROS
    return anywhere or expectation.distro == distro_id


def _ran(verdict: Verdict) -> bool:
    """Whether tests were run, so that one of them can be missed."""
    suite = None if verdict.observation is None else verdict.observation.tests
    return suite is not None and not suite.skipped


def _name(expectation: Expectation) -> str:
    """The finding's name: a declaration may give the code."""
    return find_check(expectation.finding).name


def _not_met(verdict: Verdict, absent: tuple[Expectation, ...]) -> Verdict:
    findings = tuple(
        make_finding(
            "expectation-not-met",
            f"{e.test or _name(e)} is declared for {e.distro} and did not happen",
            evidence=[f"the reason given: {e.reason}"],
            severity=Severity.ERROR,
        )
        for e in absent
    )
    return replace(
        verdict,
        outcome=Outcome.NOT_PORTABLE,
        findings=(*findings, *verdict.findings),
        reason=verdict.reason or findings[0].message,
    )


_IGNORE = "ignore"
_WEIGHT = {Severity.ERROR: 2, Severity.WARNING: 1, Severity.INFORMATION: 0}


def apply_ignores(verdict: Verdict, rules: Sequence[IgnoreRule], distro_id: str) -> Verdict:
    """Take out or lower the findings that a rule speaks of; to be done before expectations.

    `distro_id` is `audit` or `build` for verdicts that belong to no distro; a rule for `*` speaks of
    them too. A rule for files holds where every file of the finding matches one such rule. What is
    lowered stays among the findings with its new severity; `Verdict.ignored` keeps the original and
    the reason either way. A verdict that only ignored errors spoke against is PORTABLE.

    Raises UsageError for a rule on a finding that does not exist.
    """
    ours = [rule for rule in rules if fnmatchcase(distro_id, rule.distro)]
    kept: list[Finding] = []
    ignored: list[Ignored] = []
    for finding in verdict.findings:
        rule = _rule_for(finding, ours)
        lowered = finding if rule is None else _lowered(finding, rule)
        if lowered is not None:
            kept.append(lowered)
        if rule is not None and lowered != finding:
            ignored.append(Ignored(finding=finding, reason=rule.reason))
    if not ignored:
        return verdict
    changed = replace(verdict, findings=tuple(kept), ignored=(*verdict.ignored, *ignored))
    return _judged_anew(changed, ignored)


def _rule_for(finding: Finding, rules: Sequence[IgnoreRule]) -> IgnoreRule | None:
    """The rule that holds for all of the finding; the last of several files' rules stands for them."""
    named = [rule for rule in rules if find_check(rule.finding).name == finding.name]
    whole = next((rule for rule in named if rule.file == "*"), None)
    if whole is not None or not finding.files:
        return whole
    per_file = [_first(path, named) for path in finding.files]
    return None if None in per_file else per_file[-1]


def _first(path: str, rules: Sequence[IgnoreRule]) -> IgnoreRule | None:
    return next((rule for rule in rules if fnmatchcase(path, rule.file)), None)


def _lowered(finding: Finding, rule: IgnoreRule) -> Finding | None:
    if rule.severity == _IGNORE:
        return None
    wanted = Severity(rule.severity)
    return min(finding, replace(finding, severity=wanted), key=lambda f: _WEIGHT[f.severity])


def _judged_anew(verdict: Verdict, ignored: Sequence[Ignored]) -> Verdict:
    if verdict.outcome is not Outcome.NOT_PORTABLE:
        return verdict
    if verdict.errors:
        return replace(verdict, reason=verdict.errors[0].message)
    names = ", ".join(dict.fromkeys(entry.finding.name for entry in ignored))
    return replace(verdict, outcome=Outcome.PORTABLE, reason=f"ignored by configuration: {names}")


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
    if observation.lowest:  # predictions are of the newest releases
        kept = tuple(finding for finding in expected.findings if finding.name != "dependency-abi")
        expected = replace(expected, findings=kept)
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
    # Where all names were left out (import-skip), the loader's word on a module is none on an import.
    left_out = bool(facts.top_level) and not observation.imports
    resolved = (check for check in observation.loader if is_resolved(check, facts))
    if any(not left_out or _is_program(check.path, facts) for check in resolved):
        return Outcome.PORTABLE, None, "nothing to import; the loader resolved every program"
    if facts.top_level or any(_could_act(elf, target) for elf in facts.elf):
        names = ", ".join(facts.top_level[:3]) or "only libraries that nothing here loads"
        return (
            Outcome.NOT_PROVEN,
            Cause.NOTHING_TO_IMPORT,
            f"nothing was imported, started or opened (the wheel holds: {names})",
        )
    return Outcome.PORTABLE, None, "nothing to import or run: installed, which is all it can do"


def _is_program(path: str, facts: WheelFacts) -> bool:
    return any(same_file(path, one) for one in facts.programs)


def _could_act(elf: ElfFacts, target: Target) -> bool:
    """Whether a machine of the target could load or run the file: other ELF files are data there."""
    return elf.arch == target.arch and elf.kind in {ElfKind.SHARED, ElfKind.PROGRAM}


def hold_against_tries(verdict: Verdict, tries: Tries, *, words: str = "") -> Verdict:
    """Add to a verdict what is known of all tries, and a `flaky` finding if they disagree.

    `verdict` is that of the try that decides, and is counted in `tries`; `words` tell how the last
    failing try failed. To be done before anything is ignored or expected. What is not proven stays so.
    """
    if verdict.outcome is Outcome.NOT_PROVEN or not (tries.flaky or tries.count > 1):
        return verdict
    verdict = replace(verdict, tries=tries)
    if not tries.flaky:
        return verdict
    finding = make_finding(FLAKY, _message(tries), evidence=list(_evidence(tries, words)))
    # The bytes had led one to expect a pass or a failure, and chance decides: neither was wrong.
    prediction = Foretold.BEYOND if verdict.prediction is Foretold.RIGHT else verdict.prediction
    return replace(
        verdict,
        outcome=Outcome.NOT_PORTABLE,
        findings=(*verdict.findings, finding),
        reason=verdict.reason if verdict.errors else finding.message,
        prediction=prediction,
    )


def _message(tries: Tries) -> str:
    if tries.count == 1:
        now = "failed" if tries.failed else "passed"
        return f"{now} now, failed {tries.known_failed} of {tries.known} times"
    if 0 < tries.failed < tries.count:
        return f"failed {tries.failed} of {tries.count} tries"
    now = "failed" if tries.failed else "passed"
    return f"{now} all {tries.count} tries now, failed {tries.known_failed} of {tries.known} times"


def _evidence(tries: Tries, words: str) -> Iterator[str]:
    yield "the same bytes, on the same image, in the same way"
    if 0 < tries.failed < tries.count < tries.known:
        yield f"with earlier runs: failed {tries.known_failed} of {tries.known} times"
    if words:
        yield f"a failure: {words}"
