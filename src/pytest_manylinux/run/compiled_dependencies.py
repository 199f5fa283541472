"""`dependencies = build`: what has no wheel for a target is compiled for it, by the run's own builder.

A trial has no compiler, as most of a wheel's users have none. Where one is wanted all the same, the
source that pip came upon is built like a project of the run, for the target's Python and architecture,
and given to the trial as a wheel that meets the requirement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_manylinux.building.dependency_source import fetch_source
from pytest_manylinux.building.project import read_project
from pytest_manylinux.errors import DependencyError, ManylinuxError, NoWheelError
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.policy import LibcKind, Policy, PolicyChoice
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.model.wheel import SiblingWheel
from pytest_manylinux.model.wheel_tags import oldest_built, supported_tags
from pytest_manylinux.plan import plan_project
from pytest_manylinux.run.subjects import BuildJob, Origin, ProjectSubject, Read

if TYPE_CHECKING:
    from pytest_manylinux.run.session import Run
    from pytest_manylinux.run.trial_inputs import TrialInputs

BUILD = "build"
_FIRST = Policy((2, 17))
"""manylinux2014, the first that is tried: what has no wheel is seldom written for older compilers."""


class CompiledDependencies:
    """Builds that no path of a run is of. `facts` gives the reading of a wheel, after its build."""

    def __init__(self, run: Run, facts: Callable[[Origin], Awaitable[Read]]) -> None:
        self._run = run
        self._facts = facts

    async def supplied(
        self, trial: Callable[[TrialInputs], Awaitable[Verdict]], inputs: TrialInputs
    ) -> Verdict:
        """What `trial` gives, with all that it lacks compiled, one after the other.

        Raises what `trial` raises, where that is not wanted or does not help, and DependencyError where
        a source makes no wheel.
        """
        while True:
            try:
                return await trial(inputs)
            except NoWheelError as error:
                inputs = await self._with_wheel(inputs, error)

    async def _with_wheel(self, inputs: TrialInputs, error: NoWheelError) -> TrialInputs:
        """The trial with a wheel of what it lacked.

        Raises `error` again where that is not wanted, or was done and did not help, and DependencyError
        where no wheel comes of it.
        """
        done = {one.wheel.path for one in inputs.siblings if one.compiled}
        if inputs.settings.dependencies != BUILD or not error.sdist:
            raise error
        try:
            job = await self._run.tasks.in_thread(self._job, inputs, error.sdist)
            wanting = f"{inputs.read.wheel.filename} on {inputs.job.target.id}"
            self._run.messages.say(f"{wanting}: there is no wheel of {error.sdist}, it is compiled")
            wheel = (await self._facts(job)).wheel
        except ManylinuxError as failure:
            raise DependencyError(
                f"{error.what.partition(' and cannot')[0]}; nor does {error.sdist} make one",
                why=f"{failure.what}\n{failure.why}".strip(),
                remedy=failure.remedy,
            ) from failure
        if wheel.path in done or supported_tags(inputs.job.target).isdisjoint(wheel.tags):
            raise error
        compiled = SiblingWheel(wheel=wheel, compiled=True)
        return replace(inputs, siblings=(*inputs.siblings, compiled))

    def _job(self, inputs: TrialInputs, sdist: str) -> BuildJob:
        run, target = self._run, inputs.job.target
        project = read_project(fetch_source(sdist, run.workspace.build_cache))
        settings = replace(inputs.settings, before_build=())  # those are the project's own
        plan = plan_project(
            policy=_policy(target),
            requires_python=project.requires_python,
            targets=(target,),
            builders=run.build_distros(settings),
            pythons=(target.interpreter.version,),
            arch=target.arch,
            in_image=run.builders.in_image(settings),
            add=partial(run.add_python, settings),
        )
        if not plan.builds:
            python = target.interpreter.version.title
            raise DependencyError(
                f"{sdist} cannot be built for {python}",
                why="no root has its headers",
                remedy="offer a wheel of it (find-links in pip's configuration)",
            )
        subject = ProjectSubject(
            project=project, settings=settings, group=sdist, wheelhouse=run.scratch / "dependencies"
        )
        return BuildJob(subject=subject, build=plan.builds[0][0])


def _policy(target: Target) -> PolicyChoice:
    kind = target.distro.libc.kind
    oldest = oldest_built(kind, target.arch)
    first = max(_FIRST, oldest) if kind is LibcKind.GLIBC else oldest
    return PolicyChoice(first, auto=True)
