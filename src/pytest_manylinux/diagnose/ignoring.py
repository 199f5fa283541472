"""Findings that the project chooses to ignore or to weigh less; the verdict keeps what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pytest_manylinux.config.settings import IgnoreRule
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.model.verdict import Finding, Ignored, Outcome, Severity, Verdict

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
