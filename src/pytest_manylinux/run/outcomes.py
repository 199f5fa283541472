"""From what a build, an audit or a trial gave to the verdict that a run records."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_manylinux.config.settings import IndexChoice, Settings
from pytest_manylinux.diagnose.check_registry import find_check, make_finding
from pytest_manylinux.diagnose.grafts import old_libraries
from pytest_manylinux.diagnose.judge import (
    apply_expectations,
    apply_ignores,
    judge,
    judge_audit,
    judge_unreadable,
)
from pytest_manylinux.diagnose.tags import is_plain_linux
from pytest_manylinux.errors import (
    DependencyError,
    EngineError,
    ImageError,
    InternalError,
    MalformedWheelError,
    ManylinuxError,
    NoPythonError,
    StoreError,
    TrialTimeoutError,
    UsageError,
    nearest,
)
from pytest_manylinux.inspect.known_libraries import KNOWN_LIBRARIES
from pytest_manylinux.model.run import BuildRecord, WheelRecord, record_wheel
from pytest_manylinux.model.verdict import Cause, Finding, Outcome, Verdict
from pytest_manylinux.model.wheel import Audit, Wheel, WheelFacts
from pytest_manylinux.plan import takes
from pytest_manylinux.run.subjects import (
    Judged,
    Observed,
    Origin,
    Read,
    TrialJob,
    group_of,
    name_of,
    settings_of,
)
from pytest_manylinux.upload_rules.index_rules import index_rules, rule_text
from pytest_manylinux.upload_rules.review import review


class VerdictError(Exception):
    """A verdict that does not pass; carries it to the report."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


def wheel_record(origin: Origin, read: Read, audit: Audit | None = None) -> WheelRecord:
    """What the run records of a wheel."""
    return record_wheel(read.wheel, group_of(origin), audit=audit, build=read.record)


def declared(verdict: Verdict, settings: Settings, where: str) -> Verdict:
    """Hold a verdict against what the project ignores and expects; `where` is a distro or `audit`."""
    verdict = apply_ignores(verdict, settings.ignore, where)
    return apply_expectations(verdict, settings.expect, where)


def failed(error: ManylinuxError, subject: str, origin: Origin, read: Read | None) -> Judged:
    """What an error says of a wheel, where no verdict was reached otherwise.

    `read` is None where there are no facts: nothing was built, or what there is cannot be read. A
    malformed wheel is at fault itself; all else is not proven.
    """
    if read is not None:
        return Judged(verdict=not_proven(error, subject, read.wheel), wheel=wheel_record(origin, read))
    name = name_of(origin)
    if isinstance(error, MalformedWheelError):
        return Judged(verdict=judge_unreadable(name, error, subject=subject))
    cause = Cause.BUILD if isinstance(error, StoreError) else None  # that of the wheelhouse
    return Judged(verdict=not_proven(error, subject, name, cause=cause))


def too_old(job: TrialJob, read: Read) -> Judged | None:
    """The verdict for a distro that is too old for the policy that `auto` came to; None if it is not.

    It was planned for before anybody knew; with that policy in the settings it would not have been.
    """
    target, record, wheel = job.target, read.record, read.wheel
    if record is None or not record.policy_why or takes(target, wheel.platforms):
        return None
    verdict = Verdict(
        outcome=Outcome.NOT_PROVEN,
        subject=target.id,
        wheel=wheel.filename,
        wheel_sha256=wheel.sha256,
        cause=Cause.NO_TARGET,
        reason=f"{target.distro.id} has {target.distro.libc}, which is too old for the wheel: "
        f"it is built for {record.policy} ({record.policy_why})",
    )
    return Judged(verdict=verdict, wheel=wheel_record(job.origin, read))


def not_proven(
    error: ManylinuxError, subject: str, wheel: Wheel | str, *, cause: Cause | None = None
) -> Verdict:
    """Turn a failure that is not the wheel's into a verdict.

    Where there is no wheel, `wheel` is what it is reported under instead.
    """
    return Verdict(
        outcome=Outcome.NOT_PROVEN,
        subject=subject,
        wheel=wheel if isinstance(wheel, str) else wheel.filename,
        wheel_sha256="" if isinstance(wheel, str) else wheel.sha256,
        cause=cause or _cause(error),
        reason=str(error),
    )


_CAUSES: tuple[tuple[type[ManylinuxError], Cause], ...] = (
    (TrialTimeoutError, Cause.TIMEOUT),  # an EngineError too: the order counts
    (EngineError, Cause.ENGINE),
    (ImageError, Cause.IMAGE),
    (NoPythonError, Cause.PYTHON),
    (StoreError, Cause.IMAGE),
    (DependencyError, Cause.DEPENDENCY),
    (InternalError, Cause.INTERNAL),
    (UsageError, Cause.UNREADABLE),
)


def _cause(error: ManylinuxError) -> Cause:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.BUILD)


def library_findings(facts: WheelFacts, bounds: Mapping[str, str]) -> list[Finding]:
    """The libraries inside the wheel that are older than the settings allow, a finding each."""
    return [
        make_finding(
            "old-library",
            f"{old.name} {old.version} is older than {old.bound}, which library-bounds asks for",
            evidence=old.files,
            files=old.files,
        )
        for old in old_libraries(facts, bounds)
    ]


def rebuild_findings(record: BuildRecord | None) -> list[Finding]:
    """That a second build gave another wheel, if there was one."""
    if record is None or record.reproducible is not False:
        return []
    count = len(record.differences)
    return [
        make_finding(
            "not-reproducible",
            f"a second build in other surroundings differs: {record.differences[0]}"
            + (f", and in {count - 1} more places" if count > 1 else ""),
            evidence=record.differences,
        )
    ]


def check_findings(settings: Settings) -> None:
    """Raise UsageError for a name in `expect` or `ignore` that no finding has, a plugin's included."""
    for setting, rules in (("expect", settings.expect), ("ignore", settings.ignore)):
        for rule in rules:
            try:
                find_check(rule.finding)
            except UsageError as error:
                raise UsageError(
                    f"{settings.source(setting)}: {setting}: {error.what}", remedy=error.remedy
                ) from error


def check_bounds(settings: Settings) -> None:
    """Raise UsageError for a library in `library-bounds` whose version nothing here can tell."""
    known = {one.name for one in KNOWN_LIBRARIES}
    for name in settings.library_bounds:
        if name not in known:
            raise UsageError(
                f"{settings.source('library-bounds')}: library-bounds: no library known here is "
                f"called {name!r}",
                remedy=f"{nearest(name, known)}known are {', '.join(sorted(known))}",
            )


def index_refusals(facts: WheelFacts, choice: IndexChoice) -> list[Finding]:
    """What the package index of the settings would refuse the wheel for, a finding a rule.

    Native code under `linux_ARCH` is told by `policy-mismatch`, which knows the better tag.
    """
    told = {"platform-tag"} if is_plain_linux(facts) else set()
    rules = index_rules(choice)
    return [
        make_finding(
            "index-refusal",
            f"{rules.name} would refuse it: {breach.detail} ({rule_text(breach.rule)})",
            evidence=[breach.rule.says],
            remedy=breach.rule.remedy,
        )
        for breach in review(facts.wheel.path, rules).breaches
        if breach.rule.refuses and breach.rule.name not in told
    ]


def judged(job: TrialJob, read: Read, seen: Observed) -> Verdict:
    """What a trial amounts to, on the Python that answered: perhaps another than was planned for."""
    observation = seen.observation
    pip = observation.install.pip_version if observation.install else ""
    target = job.target.answered_by(observation.python, pip)
    return judge(read.facts, observation, target, wheel=read.wheel, survey=seen.survey)


def audited(origin: Origin, read: Read) -> Judged:
    """What the wheel's tag, bytes and build amount to."""
    from pytest_manylinux.inspect.audit import audit_wheel  # noqa: PLC0415 - loads slowly

    audit, settings = audit_wheel(read.facts), settings_of(origin)
    also = index_refusals(read.facts, settings.gate.index)
    also += library_findings(read.facts, settings.library_bounds)
    also += rebuild_findings(read.record)
    verdict = declared(judge_audit(read.facts, audit, also=also), settings, "audit")
    return Judged(verdict=verdict, wheel=wheel_record(origin, read, audit))
