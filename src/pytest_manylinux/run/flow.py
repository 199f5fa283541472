"""The story of a run, from top to bottom: builds, facts, audits, trials.

Each method that takes no `async` gives a task, the same one to all who ask for the same thing, and
begins it if nobody has asked before. It is for coroutines; items call them by `start`. What blocks is
done in threads, what another machine does takes none. An error is an exception all the way, and becomes
a verdict in one place: `_verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_manylinux.building.api import BuildOutcome, BuildRequest
from pytest_manylinux.building.compiler import prepare_compiler
from pytest_manylinux.building.rebuild import FAKETIME, Rebuilt, compare_with_rebuild
from pytest_manylinux.building.zig import prepare_build_tools
from pytest_manylinux.cache.locks import once_per_run
from pytest_manylinux.cache.paths import room_errors
from pytest_manylinux.cluster.protocol import Answer
from pytest_manylinux.cluster.remote_trial import TrialOrder, receive, send
from pytest_manylinux.errors import ManylinuxError, StoreError, ToolchainError
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.model.wheel import SiblingWheel
from pytest_manylinux.run.builder_choice import BuilderChoice, for_the_policy_it_needs, tags_fit
from pytest_manylinux.run.compiled_dependencies import CompiledDependencies
from pytest_manylinux.run.observation_memory import (
    SharedParts,
    TryCount,
    afterwards_key,
    observation_key,
)
from pytest_manylinux.run.outcomes import audited, declared, failed, judged, too_old, wheel_record
from pytest_manylinux.run.siblings import Siblings, consumer_building, consumer_on
from pytest_manylinux.run.subjects import (
    BuildJob,
    Built,
    Judged,
    Observed,
    Origin,
    Read,
    TrialJob,
    WheelSubject,
    group_of,
    key_of,
    name_of,
    settings_of,
    tags_of_name,
)
from pytest_manylinux.run.tracebacks import foreseen
from pytest_manylinux.run.trial_inputs import TrialInputs, deciding, extra_sets, with_known_extras
from pytest_manylinux.trials.trial import TrialRequest

if TYPE_CHECKING:
    from pytest_manylinux.run.session import Run

_T = TypeVar("_T")
_READ = 100  # wheels whose facts are held; they may be megabytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuildRoot:
    """What is begun for a build in a Debian root: the root, the one it is grown from, and the rest."""

    image: asyncio.Future[Image]
    plain: asyncio.Future[Image]
    tools: tuple[asyncio.Future[None], ...]


class Flow:
    """The work of one run. `usual` has the seconds of earlier runs (report.history.durations)."""

    def __init__(self, run: Run) -> None:
        self.usual: Mapping[str, float] = {}
        self._run = run
        self._workspace = run.workspace
        self._tasks = run.tasks
        self._shared = SharedParts()
        self._read_lately: deque[tuple[str, ...]] = deque()
        self._coming: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)  # by target
        self.siblings = Siblings(run.own / "dist", self.facts)
        self._compiled = CompiledDependencies(run, self.facts)

    def start(self, work: Callable[[], Awaitable[_T]]) -> Future[_T]:
        """Begin what one of the methods gives, from another thread."""
        return self._tasks.start(work)

    # Trials: facts, image and environment together; then recalled, or observed here or by a worker.

    def trial(self, job: TrialJob) -> asyncio.Future[Judged]:
        """One wheel on one target."""
        target = job.target.id
        return self._tasks.once(
            ("trial", *key_of(job.origin), target),
            lambda: self._verdict(job.origin, target, self._trial(job)),
            weight=self.usual.get(f"{group_of(job.origin)}::{target}", 0.0),
        )

    async def _trial(self, job: TrialJob) -> Judged:
        facts, image = self.facts(job.origin), self._prepared(job.target)
        with self._expected(job):
            read = await facts
            if left_out := too_old(job, read):
                return left_out
            inputs = await self._inputs(job, read)
            trial = partial(self._with_extras, image=await image)
            verdict = await self._compiled.supplied(trial, inputs)
        verdict = declared(verdict, settings_of(job.origin), job.target.distro.id)
        return Judged(verdict=verdict, wheel=wheel_record(job.origin, read))

    async def _with_extras(self, inputs: TrialInputs, image: Image | None) -> Verdict:
        """Without extras, and then with each set of them that the settings ask for."""
        sets = extra_sets(inputs.settings, inputs.read.facts)
        verdict = await self._tried(inputs, image)
        verdicts: dict[tuple[str, ...], Verdict] = {(): verdict}
        for extras in sets if verdict.outcome is Outcome.PORTABLE else ():
            more = inputs.with_extras(extras)
            verdicts[extras] = await self._tried(more, image)
        return deciding(verdicts)

    async def _inputs(self, job: TrialJob, read: Read) -> TrialInputs:
        """Raises DependencyError where another wheel of this run is required and could not be built."""
        settings, own, suite = settings_of(job.origin), read.facts.requires_dist, None
        if settings.test_command:
            asked = await self._tasks.in_thread(self._run.suites.wanted, job.origin, job.target)
            suite = with_known_extras(asked, read.facts)
        wanted = own if settings.dependencies != "none" or suite else ()
        wanted += suite.wanted(read.wheel.name) if suite else ()
        wanted += tuple(
            f"{read.wheel.name}[{','.join(extras)}]" for extras in extra_sets(settings, read.facts)
        )
        consumer = consumer_on(job.target, job.origin, read.wheel)
        siblings = await self.siblings.meet(wanted, consumer, own)
        return TrialInputs(job=job, read=read, suite=suite, siblings=siblings)

    async def _tried(self, inputs: TrialInputs, image: Image | None) -> Verdict:
        """As many tries as are wanted; one alone may be an earlier run's.

        Without an image a worker prepares all that a try takes.
        """
        job, read, request = inputs.job, inputs.read, None
        tries = TryCount(self._run.memory, settings_of(job.origin).repeat)
        if image is not None:  # at one go: of a large release nearly all is remembered
            alone = tries.wanted == 1
            asked = await self._tasks.in_thread(self._asked, inputs, image, recall=alone)
            if isinstance(asked, Verdict):
                return asked
            request = asked
        while tries.left:
            try:
                seen = await self._observed(inputs, request, more=tries.left - 1)
                verdict = await self._tasks.in_thread(judged, job, read, seen)
                await self._tasks.in_thread(tries.add, seen.key, verdict)
            except ManylinuxError:
                if tries.failed:  # that is shown, whatever the others would have come to
                    break
                raise
        return tries.verdict()

    async def _observed(
        self, inputs: TrialInputs, request: TrialRequest | None, *, more: int
    ) -> Observed:
        """One try, here or by a worker of the cluster."""
        if self._run.settings.dask:
            return await self._observed_elsewhere(inputs, request)
        if request is None:
            raise StoreError(f"no image of {inputs.job.target.id} was prepared")
        return await self._tasks.in_thread(self._observed_here, inputs.job, request, more)

    def _observed_here(self, job: TrialJob, request: TrialRequest, more: int) -> Observed:
        self._coming[job.target.id].discard(key_of(job.origin))
        more += len(self._coming[job.target.id])
        with room_errors(self._workspace.store.root):
            return Observed(
                key=observation_key(request, self._workspace.engine_label()),
                observation=self._shared.of(self._workspace.observe(request, more)),
                survey=self._workspace.survey(job.target.distro, request.image),
            )

    async def _observed_elsewhere(self, inputs: TrialInputs, request: TrialRequest | None) -> Observed:
        job, read = inputs.job, inputs.read
        uv = await self._tasks.in_thread(self._workspace.uv, inputs.settings)
        order = TrialOrder(
            wheel=read.wheel,
            target=job.target,
            settings=inputs.settings,
            engine=self._run.settings.engine,
            request=request,
            uv=uv,
            suite=inputs.suite if request is None else None,  # what it requires is resolved there
            siblings=inputs.siblings,
            extras=inputs.extras,
            lowest=inputs.lowest,
        )
        sent = await self._tasks.in_thread(self._sent, order)
        seen = receive(await self._tasks.elsewhere(sent))
        if request is None:
            key = afterwards_key(read.wheel, seen.observation, order.settings, seen.engine)
            return Observed(key=key, observation=seen.observation, survey=seen.survey)
        key = await self._tasks.in_thread(observation_key, request, seen.engine)
        survey = await self._tasks.in_thread(self._workspace.survey, job.target.distro, request.image)
        return Observed(key=key, observation=seen.observation, survey=survey)

    def _sent(self, order: TrialOrder) -> Future[Answer]:
        with room_errors(self._workspace.store.root):
            return send(self._run.cluster(), self._workspace.store, order)

    def _asked(self, inputs: TrialInputs, image: Image, *, recall: bool) -> TrialRequest | Verdict:
        """What a trial takes; or its verdict, if it is remembered and that is to be looked up."""
        request = inputs.request(self._workspace, image)
        known = self._recalled(inputs.job, inputs.read, request) if recall else None
        return request if known is None else known

    def _recalled(self, job: TrialJob, read: Read, request: TrialRequest) -> Verdict | None:
        """By what was seen before of the same bytes on such an engine, but perhaps by another way."""
        for label in self._engine_labels():
            key = observation_key(request, label)
            known = self._run.memory.recall(key)
            if known is not None:
                image = request.image
                known = replace(
                    self._shared.of(known),
                    image_name=image.name,
                    image_source=image.source.value,
                    image_note=image.note,
                )
                survey = self._workspace.survey(job.target.distro, image)
                return judged(job, read, Observed(key=key, observation=known, survey=survey))
        return None

    def _engine_labels(self) -> tuple[str, ...]:
        """Names and versions of the engines that may do trials of this run."""
        if not self._run.settings.dask:
            return (self._workspace.engine_label(),)
        return tuple(sorted({one.engine for one in self._run.cluster().members() if one.engine}))

    @contextlib.contextmanager
    def _expected(self, job: TrialJob) -> Iterator[None]:
        """Count a trial among those to come until it is observed, or ends otherwise."""
        self._coming[job.target.id].add(key_of(job.origin))
        try:
            yield
        finally:
            self._coming[job.target.id].discard(key_of(job.origin))

    # Audits, facts, and where an error becomes a verdict.

    def audit(self, origin: Origin) -> asyncio.Future[Judged]:
        """A wheel's tag against what its bytes show."""
        return self._tasks.once(
            ("audit", *key_of(origin)), lambda: self._verdict(origin, "audit", self._audit(origin))
        )

    async def _audit(self, origin: Origin) -> Judged:
        read = await self.facts(origin)
        return await self._tasks.in_thread(audited, origin, read)

    def facts(self, origin: Origin) -> asyncio.Future[Read]:
        """The reading of a wheel, after its build if there is one; of given ones `_READ` are held."""
        key = ("facts", *key_of(origin))
        if isinstance(origin, WheelSubject) and key not in self._tasks:
            self._read_lately.append(key)
            if len(self._read_lately) > _READ:
                self._tasks.forget(self._read_lately.popleft())
        return self._tasks.once(key, lambda: self._facts(origin))

    async def _facts(self, origin: Origin) -> Read:
        if isinstance(origin, WheelSubject):
            return await self._tasks.in_thread(self._read, origin.path)
        built = await self.build(origin)
        return await self._tasks.in_thread(self._read_built, built)

    def _read_built(self, built: Built) -> Read:
        """What the build has read of its wheel, if this run has built it, else what is read now."""
        if built.facts is None:
            return replace(self._read(built.wheel), record=built.record)
        self._workspace.keep_facts(built.facts)
        return Read(wheel=built.facts.wheel, facts=built.facts, record=built.record)

    def _read(self, path: Path) -> Read:
        wheel = open_wheel(path)
        return Read(wheel=wheel, facts=self._workspace.facts(wheel))

    async def _verdict(self, origin: Origin, subject: str, work: Awaitable[Judged]) -> Judged:
        """What `work` gives; an error of it, or of what it waited for, becomes a verdict here."""
        try:
            with foreseen(f"{subject} of {name_of(origin)}"):
                return await work
        except ManylinuxError as error:
            reading = self.facts(origin)
            await asyncio.wait([reading])
            return failed(error, subject, origin, None if reading.exception() else reading.result())

    # Builds: the project's first wheel may serve other Pythons; roots are made meanwhile.

    def build(self, job: BuildJob) -> asyncio.Future[Built]:
        """A wheel of a project."""
        usual = f"{job.subject.project.path}::build-{job.build.python.id}"
        return self._tasks.once(
            ("build", *key_of(job)), lambda: self._build(job), weight=self.usual.get(usual, 0.0)
        )

    async def _build(self, job: BuildJob) -> Built:
        settings, run = job.subject.settings, self._run
        root = job.build.root
        certain = not (job.earlier and job.subject.project.limited_api)
        if root and certain and await self._tasks.in_thread(run.builders.wants_root, settings):
            self._root(job, root)  # begins now, for it is certain to be wanted
        of, first = await self._first(job)
        if first and tags_fit(job.build, first.record.policy, tags_of_name(first.wheel)):
            return first.reused(job.build.python.id, of)
        requires = job.subject.project.build_requires
        siblings = await self.siblings.meet(requires, consumer_building(job))
        attempt = partial(self._attempt, siblings=siblings)
        return await for_the_policy_it_needs(job, first, attempt, self._workspace.say)

    async def _attempt(self, job: BuildJob, why: str, siblings: tuple[SiblingWheel, ...]) -> Built:
        """One build for one policy; `why` is what kept an older one from being built for."""
        settings, run = job.subject.settings, self._run
        chosen = await self._tasks.in_thread(run.builders.choose, settings, job.build)
        chosen = replace(chosen, policy=str(job.build.policy), policy_why=why)
        run.builders.chosen[key_of(job)] = chosen
        request = self._build_request(job, *await self._build_images(job, chosen))
        request = replace(request, siblings=siblings)
        policy = f" for {job.build.policy}" if job.build.choice.auto else ""
        self._workspace.say(
            f"{job.subject.group}: building {job.build.id}{policy} in {request.image.name}"
        )
        built = await self._tasks.in_thread(self._built, job, request, chosen)
        built = replace(built, record=replace(built.record, policy_why=why))
        if run.rebuild and job.subject.wheelhouse is None:
            built = await self._rebuilt(job, request, chosen, built)
        how = "built before" if built.record.remembered else f"{built.record.duration:.0f} s"
        self._workspace.say(f"{job.subject.group}: {job.build.id} is {built.wheel.name} ({how})")
        return built

    async def _first(self, job: BuildJob) -> tuple[str, Built | None]:
        """The project's first wheel, which may serve this Python, and its build; None if there is none.

        A wheel of the stable ABI, or of no ABI, serves all later Pythons. Where a build fails, maybe
        only for want of its own distro's root, the next Python's decides: two at once would make two
        wheels of one name.
        """
        for position, build in enumerate(job.earlier):
            earlier = BuildJob(subject=job.subject, build=build, earlier=job.earlier[:position])
            with contextlib.suppress(Exception):  # that build's own, and told of there
                return build.id, await self.build(earlier)
        return "", None

    async def _build_images(self, job: BuildJob, chosen: BuilderChoice) -> tuple[Image, Image | None]:
        """The image to build in, and the plain one that it was grown from."""
        if chosen.image is not None:
            return chosen.image, None
        if job.build.root is None:  # planned for builder images only
            raise ToolchainError(f"the builder {chosen.builder.name} has no root to build in")
        root = self._root(job, job.build.root)
        wanted: tuple[asyncio.Future[Any], ...] = (root.image, root.plain, *root.tools)
        await asyncio.wait(wanted)
        return root.image.result(), root.plain.result()

    def _build_request(self, job: BuildJob, image: Image, plain: Image | None) -> BuildRequest:
        settings, place = job.subject.settings, self._workspace
        log = place.store.root / "logs" / f"{job.subject.project.path.name}-{job.build.id}.log"
        return BuildRequest(
            project=job.subject.project.path,
            known=job.subject.project,
            python=job.build.python,
            policy=job.build.policy,
            arch=job.build.arch,
            image=image,
            plain=plain,
            wheelhouse=job.subject.wheelhouse or self._run.wheelhouse,
            before_build=settings.before_build,
            build_packages=settings.build_packages,
            network=settings.build_network == "host",
            timeout=settings.build_timeout,
            cache=place.build_cache,
            log=log,
            fresh=self._run.fresh,
            auto=job.build.choice.auto,
        )

    def _built(self, job: BuildJob, request: BuildRequest, chosen: BuilderChoice) -> Built:
        """Build in one process of the run for all."""
        place = self._workspace
        build = partial(chosen.builder.build, request, place.engine(), say=place.say)
        outcome: BuildOutcome = once_per_run(
            self._run.shared, ("build", *key_of(job), str(job.build.policy)), build
        )
        record = replace(outcome.record, builder_why=chosen.why)
        return Built(wheel=outcome.wheel, record=record, facts=outcome.facts)

    async def _rebuilt(
        self, job: BuildJob, request: BuildRequest, chosen: BuilderChoice, built: Built
    ) -> Built:
        """The build, with what a second one in other surroundings says of it."""
        packages = job.subject.build_packages
        if chosen.image is None and job.build.root is not None:
            root = job.build.root
            image = await self.image(root, ImagePurpose.BUILD, (*packages, FAKETIME))
            request = replace(request, image=image)
        self._workspace.say(f"{job.subject.group}: building {job.build.id} again elsewhere")
        return await self._tasks.in_thread(self._compared, job, request, chosen, built)

    def _compared(
        self, job: BuildJob, request: BuildRequest, chosen: BuilderChoice, built: Built
    ) -> Built:
        place = self._workspace
        first = BuildOutcome(wheel=built.wheel, record=built.record)
        compare = partial(
            compare_with_rebuild, first, chosen.builder, request, place.engine(), say=place.say
        )
        rebuilt: Rebuilt = once_per_run(self._run.shared, ("rebuild", *key_of(job)), compare)
        record = replace(built.record, reproducible=rebuilt.reproducible, differences=rebuilt.sentences)
        return replace(built, record=record)

    # What comes before builds and trials. Its failures are told by the build or trial that needs it.

    def _root(self, job: BuildJob, target: Target) -> _BuildRoot:
        """A Debian root to build in; compiler and tools are fetched while it is made."""
        packages = job.subject.build_packages
        ours = self._run.builders.may_use_zig(job.subject.settings)
        return _BuildRoot(
            plain=self.image(target),
            image=self.image(target, ImagePurpose.BUILD, packages),
            tools=(self._compiler(job.build.policy, job.build.arch), self._build_tools(target))
            if ours
            else (),
        )

    def image(
        self,
        target: Target,
        purpose: ImagePurpose = ImagePurpose.TRIAL,
        extra: tuple[str, ...] = (),
    ) -> asyncio.Future[Image]:
        """An image; one for builds comes after that for trials, which it may be grown from."""
        return self._tasks.once(
            ("image", target.id, purpose.value, extra), lambda: self._image(target, purpose, extra)
        )

    async def _image(self, target: Target, purpose: ImagePurpose, extra: tuple[str, ...]) -> Image:
        if purpose is ImagePurpose.BUILD:
            await asyncio.wait([self.image(target)])
        return await self._tasks.in_thread(self._workspace.image, target, purpose, extra)

    def _prepared(self, target: Target) -> asyncio.Future[Image | None]:
        """A trial's image and environment; None where a worker of the cluster has to make them."""
        return self._tasks.once(("prepared", target.id), lambda: self._prepare(target))

    async def _prepare(self, target: Target) -> Image | None:
        if self._run.settings.dask:
            if not await self._tasks.in_thread(self._run.prepares, target):
                return None
            return await self.image(target)
        image = self.image(target)
        wanted: tuple[asyncio.Future[Any], ...] = (image, self._venv(target))
        await asyncio.wait(wanted)
        return image.result()

    def _venv(self, target: Target) -> asyncio.Future[None]:
        """The distro's own virtual environment, while the first wheel for it is built."""
        return self._tasks.once(("venv", target.id), lambda: self._made_venv(target))

    async def _made_venv(self, target: Target) -> None:
        image = await self.image(target)
        look = partial(self._tasks.in_thread, self._workspace.survey, target.distro, image)
        self._tasks.once(("survey", target.id), look)  # which a verdict wants, too
        await self._tasks.in_thread(self._workspace.prepare_venv, target, image)

    def _compiler(self, policy: Policy, arch: str) -> asyncio.Future[None]:
        """The compiler, fetched and warmed up while roots are made."""
        fetch = partial(self._fetch_compiler, policy, arch)
        return self._tasks.once(("compiler", policy.name, arch), lambda: self._tasks.in_thread(fetch))

    def _fetch_compiler(self, policy: Policy, arch: str) -> None:
        place = self._workspace
        prepare_compiler(place.build_cache, policy, arch, say=place.say)

    def _build_tools(self, target: Target) -> asyncio.Future[None]:
        """Front end and repair tools for an image's Python, fetched while headers are installed."""
        return self._tasks.once(("tools", target.id), lambda: self._fetch_tools(target))

    async def _fetch_tools(self, target: Target) -> None:
        image = await self.image(target)
        await self._tasks.in_thread(self._install_tools, target, image)

    def _install_tools(self, target: Target, image: Image) -> None:
        place, python = self._workspace, target.interpreter.version
        prepare_build_tools(place.build_cache, image, python, place.engine(), say=place.say)
