"""What earlier runs saw: a trial that would be the same in every respect is not done again.

Observations are kept, not verdicts: findings, expectations and ignored findings are judged afresh
each time. Only trials that speak for the wheel are recalled; a fault is looked at again, and counted:
a pass does not outweigh the failures of the same bytes in the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar, cast

from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.cache.values import ValueCache, code_version, key_of
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.diagnose.check_registry import added_version
from pytest_manylinux.diagnose.judge import hold_against_tries
from pytest_manylinux.model.observation import ImportOutcome, Observation
from pytest_manylinux.model.verdict import Outcome, Tries, Verdict
from pytest_manylinux.model.wheel import Wheel
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.trial import TrialRequest

OBSERVATIONS = "observations"  # the folder in the cache
LIMIT = 256 * 1024 * 1024  # bytes; some ten thousand observations
_T = TypeVar("_T")
_WORDS = 300  # characters kept of a failure
_COMMON = ("target", "image", "image_name", "image_source", "image_note", "engine", "python", "libc")
_JUDGES = ("inspect", "diagnose", "diagnose.checks", "diagnose.data", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one wheel in one place.

    `observation` is that of a pass; None as soon as any of the `tries` failed. `words` say how the last
    failing one did. `judge` is the code that told passes from failures: another one counts from
    nothing. `wheel` and `target` are for people.
    """

    wheel: str
    target: str
    judge: str
    tries: int = 0
    failed: int = 0
    words: str = ""
    observation: Observation | None = None


class Memory:
    """What is known, below `root`, the least recently used forgotten first.

    `fresh` recalls no pass, but keeps what is seen, and counts failures on.
    """

    def __init__(self, root: Path, *, fresh: bool = False, limit: int = LIMIT) -> None:
        self._kept = ValueCache(root, Known, limit=limit, fresh=fresh)

    def recall(self, key: str) -> Observation | None:
        """The pass that was seen under this key; None if there was none, a failure, or damage."""
        known = self._kept.recall(key)
        if known is None or known.failed or known.observation is None:
            return None
        return replace(known.observation, remembered=True)

    def add(self, key: str, verdict: Verdict) -> Known:
        """Count a try by what it amounts to, before anything is declared of it; gives all tries.

        A pass is kept as long as nothing has failed, and what is not proven is not counted.
        """
        return self._kept.change(key, lambda known: _counted(known, verdict))

    def forget(self, wheels: tuple[str, ...] = ()) -> tuple[Known, ...]:
        """Forget wheels by their file names or patterns of them, all without any. Raises OSError."""
        return self._kept.forget(_matcher(wheels))

    def prune(self) -> None:
        """Forget the least recently used until the rest fits the limit."""
        self._kept.prune()


class SharedParts:
    """What observations of one run have in common, held once: words on an image, libraries of a distro.

    Of a trial that passes these are most of what it saw.
    """

    def __init__(self) -> None:
        self._known: dict[object, object] = {}

    def of(self, seen: Observation) -> Observation:
        """The same observation, with parts that others have as well."""
        install = seen.install
        if install is not None:
            installed = tuple(map(self._one, install.installed))
            install = replace(
                install, pip_version=self._one(install.pip_version), installed=self._one(installed)
            )
        words = {name: self._one(getattr(seen, name)) for name in _COMMON}
        return replace(seen, install=install, imports=tuple(map(self._import, seen.imports)), **words)

    def _import(self, outcome: ImportOutcome) -> ImportOutcome:
        return replace(outcome, loaded=tuple(map(self._one, outcome.loaded)))

    def _one(self, part: _T) -> _T:
        known = self._known.setdefault(part, part)
        return cast("_T", known)


class TryCount:
    """Takes the verdict of one try after the other, `wanted` of them, and gives the one that counts."""

    def __init__(self, memory: Memory, wanted: int) -> None:
        self.wanted = wanted
        self._memory = memory
        self._verdicts: list[Verdict] = []
        self._known: dict[str, Known] = {}

    @property
    def left(self) -> int:
        """How many are still to be done; none after one that proved nothing."""
        if self._verdicts and self._verdicts[-1].outcome is Outcome.NOT_PROVEN:
            return 0
        return self.wanted - len(self._verdicts)

    @property
    def failed(self) -> int:
        """How many failed so far."""
        return sum(verdict.outcome is Outcome.NOT_PORTABLE for verdict in self._verdicts)

    def add(self, key: str, verdict: Verdict) -> None:
        """Count a try, in the memory too, by its verdict before anything is declared of it.

        Raises RunEndedError.
        """
        self._verdicts.append(verdict)
        if verdict.outcome is not Outcome.NOT_PROVEN:
            self._known[key] = self._memory.add(key, verdict)

    def verdict(self) -> Verdict:
        """The first failing try's; without one what is not proven, and a pass where all passed."""
        order = (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN, Outcome.PORTABLE)
        deciding = min(self._verdicts, key=lambda verdict: order.index(verdict.outcome))
        words = next((known.words for known in self._known.values() if known.words), "")
        return hold_against_tries(deciding, self._tries(), words="" if deciding.errors else words)

    def _tries(self) -> Tries:
        count = sum(verdict.outcome is not Outcome.NOT_PROVEN for verdict in self._verdicts)
        known = self._known.values()
        return Tries(
            count=count,
            failed=self.failed,
            known=max(count, sum(one.tries for one in known)),
            known_failed=max(self.failed, sum(one.failed for one in known)),
        )


def _matcher(wheels: tuple[str, ...]) -> Callable[[Known], bool]:
    return lambda known: not wheels or any(fnmatchcase(known.wheel, word) for word in wheels)


def _counted(known: Known | None, verdict: Verdict) -> Known:
    judge = " ".join(filter(None, (code_version(*_JUDGES), added_version())))
    if known is None or known.judge != judge:
        known = Known(wheel=verdict.wheel, target=verdict.subject, judge=judge)
    if verdict.outcome is Outcome.PORTABLE:
        seen = None if known.failed else verdict.observation
        return replace(known, tries=known.tries + 1, observation=seen)
    if verdict.outcome is Outcome.NOT_PORTABLE:
        return replace(
            known,
            tries=known.tries + 1,
            failed=known.failed + 1,
            words=failure_words(verdict)[:_WORDS],
            observation=None,
        )
    return known


def failure_words(verdict: Verdict) -> str:
    """The first error, on one line; the reason where there is none."""
    words = [f"{finding.name}: {finding.message}" for finding in verdict.errors]
    return " ".join((words or [verdict.reason])[0].split())


def observation_key(request: TrialRequest, engine: str) -> str:
    """A hexadecimal SHA-256 over all that can change what a trial sees."""
    return _key(
        engine,
        request.wheel.filename,
        request.wheel.sha256,
        request.target.id,
        request.image.content,
        request.imports,
        request.import_skip,
        request.import_depth,
        request.programs,
        request.timeout,
        _wheels_in(request.dependencies),
        _suite_parts(request.suite),
        "" if request.uv is None else request.uv.sha256,
        request.extras,
        request.lowest,
        request.kernel,
        request.processor,
    )


def afterwards_key(wheel: Wheel, seen: Observation, settings: Settings, engine: str) -> str:
    """The same for a trial whose image and dependencies a cluster's worker chose itself.

    Known only when it is done, so that it serves for counting and not for recalling.
    """
    return _key(
        engine,
        wheel.filename,
        wheel.sha256,
        seen.target,
        seen.image,
        settings.imports,
        settings.import_skip,
        settings.import_depth,
        settings.programs,
        settings.trial_timeout,
        settings.test_command,
        settings.installer,
        settings.dependencies,
        settings.kernel,
        settings.processor,
        (seen.extras, seen.lowest),
        () if seen.install is None else sorted(seen.install.installed),
    )


def _key(*parts: object) -> str:
    return key_of(code_version("trials", "trials.inside"), *parts)


def _suite_parts(suite: SuiteRequest | None) -> object:
    """All of a project's tests that can change how they go."""
    if suite is None:
        return None
    return (suite.settings, suite.tree_sha256, _wheels_in(suite.required))


def _wheels_in(folder: Path | None) -> list[tuple[str, str]] | None:
    if folder is None:
        return None
    return [(path.name, file_digest(path)) for path in sorted(folder.iterdir())]
