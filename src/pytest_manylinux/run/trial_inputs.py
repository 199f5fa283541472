"""What one trial is of, and what it takes: a wheel, extras, the project's tests, wheels of the run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename

from pytest_manylinux.cache.paths import room_errors
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import DependencyError, UsageError
from pytest_manylinux.inspect.requirements import needed_requirements
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.observation import Pairs
from pytest_manylinux.model.system_calls import DISTRO_KERNEL, KernelVersion, parse_kernel
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.model.wheel import SiblingWheel, WheelFacts
from pytest_manylinux.run.subjects import Read, TrialJob, settings_of
from pytest_manylinux.trials.dependencies import lowest_pins
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.trial import TrialRequest

if TYPE_CHECKING:
    from pytest_manylinux.workspace import Workspace

EACH, ALL = "each", "all"
HIGHEST, LOWEST = "highest", "lowest-direct"


def check_resolution(settings: Settings) -> None:
    """Raise UsageError for settings of dependencies that are not to be resolved."""
    if settings.dependencies != "none":
        return
    for name in ("extras", "resolution"):
        value = getattr(settings, name)
        if value not in {(), HIGHEST}:
            raise UsageError(
                f"{settings.source(name)}: {name} = {value!r} and dependencies = none "
                f"({settings.source('dependencies')}) do not go together",
                why="without its dependencies a wheel is installed alone",
                remedy=f"take {name} out, or set dependencies = resolve",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialInputs:
    """One trial of a wheel; `extras` are those that it is installed with."""

    job: TrialJob
    read: Read
    suite: SuiteRequest | None = None
    siblings: tuple[SiblingWheel, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """Those of the wheel."""
        return settings_of(self.job.origin)

    @property
    def lowest(self) -> bool:
        """Whether what the wheel requires is to be as old as it admits."""
        return self.settings.resolution == LOWEST

    def with_extras(self, extras: tuple[str, ...]) -> TrialInputs:
        """The same with extras, and without tests: those have extras of their own."""
        return replace(self, extras=extras, suite=None)

    def request(self, place: Workspace, image: Image) -> TrialRequest:
        """What the trial takes, resolved on this machine."""
        settings, facts, suite = self.settings, self.read.facts, self.suite
        dependencies = None
        resolve = partial(
            place.dependencies,
            self.read.wheel,
            facts,
            self.job.target,
            image,
            timeout=settings.trial_timeout,
            siblings=self.siblings,
            lowest=self.lowest,
        )
        with room_errors(place.store.root):
            if settings.dependencies != "none":
                dependencies = resolve(extras=self.extras)
            if suite is not None:
                compiling = settings.dependencies == "build"
                suite = place.prepared_suite(suite, resolve, compiling=compiling)
        return TrialRequest(
            wheel=self.read.wheel,
            facts=facts,
            target=self.job.target,
            image=image,
            imports=settings.imports,
            import_skip=settings.import_skip,
            import_depth=settings.import_depth,
            dependencies=dependencies,
            programs=tuple(tuple(shlex.split(line)) for line in settings.programs),
            timeout=settings.trial_timeout,
            cache=place.venvs,
            suite=suite,
            uv=place.uv(settings),
            siblings=self.siblings,
            extras=self.extras,
            lowest=self._taken_lowest(dependencies),
            kernel=self._kernel(),
            processor=settings.processor,
        )

    def _kernel(self) -> KernelVersion | None:
        """The kernel that the trial is to find, by the setting; None for this machine's."""
        word, where = self.settings.kernel, str(self.settings.source("kernel"))
        if word == DISTRO_KERNEL:
            return self.job.target.distro.kernel
        return parse_kernel(word, where) if word else None

    def _taken_lowest(self, folder: Path | None) -> Pairs:
        """Of what was resolved, what was to be as old as possible."""
        if folder is None or not self.lowest:
            return ()
        lines = needed_requirements(self.read.facts.requires_dist, self.job.target, self.extras)
        names = {pin.name for pin in lowest_pins(lines, {one.wheel.name for one in self.siblings})}
        wheels = (parse_wheel_filename(path.name)[:2] for path in folder.glob("*.whl"))
        return tuple(sorted((name, str(version)) for name, version in wheels if name in names))


def extra_sets(settings: Settings, facts: WheelFacts) -> tuple[tuple[str, ...], ...]:
    """The sets of extras to try a wheel with, as its settings name them; none but those it has.

    Raises DependencyError for a name that is not one of the wheel's.
    """
    known = {canonicalize_name(name): name for name in facts.extras}
    found: dict[tuple[str, ...], None] = {}
    for word in settings.extras:
        if canonicalize_name(word) in known and word != ALL:
            found[(known[canonicalize_name(word)],)] = None
        elif word == EACH:
            found |= {(name,): None for name in known.values()}
        elif word == ALL:
            found |= {tuple(known.values()): None} if known else {}
        else:
            raise DependencyError(
                f"{settings.source('extras')}: extras has {word!r}, which {facts.wheel.filename} "
                "does not provide",
                why=f"it provides {', '.join(known.values()) or 'none'}",
                remedy="name some of these; or each, for each by itself, or all, for all together",
            )
    return tuple(found)


def with_known_extras(suite: SuiteRequest | None, facts: WheelFacts) -> SuiteRequest | None:
    """The same, or the reason why tests that want an extra that the wheel does not have are not run.

    pip only warns of one, and the tests would run without what they need, or skip themselves.
    """
    if suite is None or not suite.can_run:
        return suite
    known = {canonicalize_name(name) for name in facts.extras}
    strange = [name for name in suite.settings.extras if canonicalize_name(name) not in known]
    if not strange:
        return suite
    lacking = (
        f"test-extras has {strange[0]!r}, which the wheel does not provide: "
        f"it provides {', '.join(facts.extras) or 'none'}"
    )
    return replace(suite, settings=replace(suite.settings, lacking=lacking))


def deciding(verdicts: Mapping[tuple[str, ...], Verdict]) -> Verdict:
    """Of a wheel's verdicts by the extras that it was installed with, the one that counts.

    That is the first that does not pass, a fault before what is not proven; else the one without
    extras, with the sets that were tried too.
    """
    for outcome in (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN):
        for extras, verdict in verdicts.items():
            if verdict.outcome is outcome:
                return _naming(verdict, (",".join(extras),) if extras else ())
    return _naming(verdicts[()], tuple(",".join(extras) for extras in verdicts if extras))


def _naming(verdict: Verdict, extras: tuple[str, ...]) -> Verdict:
    if verdict.observation is None:
        return verdict
    return replace(verdict, observation=replace(verdict.observation, extras=extras))
