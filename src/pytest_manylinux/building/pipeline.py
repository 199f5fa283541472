"""How a wheel is built: source, PEP 517 build, native check, repair, symbol check, wheelhouse.

Every builder is this pipeline with a toolchain of its own (api.py).
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from pytest_manylinux.building.api import (
    BUILT,
    CACHES,
    ENVIRONMENT,
    INSIDE,
    INSIDE_SOURCE,
    REPAIRED,
    SIBLINGS,
    USUAL,
    BuildInputs,
    BuildOutcome,
    BuildRequest,
    MakeToolchain,
    Pairs,
    Say,
    Toolchain,
)
from pytest_manylinux.building.frontend import FrontEnd
from pytest_manylinux.building.glibc_symbols import too_new_symbols
from pytest_manylinux.building.kept_environment import BuildEnvironments, environment_key
from pytest_manylinux.building.project import Project, read_project
from pytest_manylinux.building.repair import Repair, check_libc, check_symbols, set_plain_modes
from pytest_manylinux.building.source import OBJECTS, Snapshot, snapshot, turn_around
from pytest_manylinux.building.steps import BuildLog, BuildSteps
from pytest_manylinux.building.wheelhouse import (
    BuildMemory,
    PolicyMemory,
    build_key,
    fingerprint,
    has_cxx,
    native_wheel,
    project_cache,
    put,
    within_bounds,
)
from pytest_manylinux.cache.paths import refusal
from pytest_manylinux.engines.api import SCRATCH, Cache, Engine, Mount, SandboxSpec
from pytest_manylinux.errors import BuildError
from pytest_manylinux.host.architecture import allowed_time
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.indexes import IndexAccess, host_index
from pytest_manylinux.inspect.wheel_file import open_wheel
from pytest_manylinux.model.python import Implementation
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.wheel import WheelFacts

_ARCHIVE = SCRATCH / "source.tar"
_LIBRARY = "pyproject_hooks"
_ELSEWHERE = ("sh", str(INSIDE / "elsewhere.sh"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The builder `name`, which differs from others by its toolchain alone; see `api.Builder`."""

    name: str
    toolchain: MakeToolchain

    def build(self, request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
        """Make the wheel, or take what an earlier run built from the same source in the same way."""
        started = time.monotonic()
        project = request.known or read_project(request.project)
        index = host_index()
        toolchain = self.toolchain(request, engine, index, say)
        if toolchain.policy != request.policy:
            say(
                f"{toolchain.auditwheel_name} knows no {request.policy}: "
                f"building for {toolchain.policy}, which promises more"
            )
        its_index = index if request.network else index.offline()
        job = _Job(request=request, project=project, toolchain=toolchain, index=its_index)
        inputs = BuildInputs(
            builder=self.name,
            policy=str(toolchain.policy),
            tools=(*toolchain.versions, ("pyproject-hooks", version(_LIBRARY))),
            index=its_index.identity,
        )
        usual = request.surroundings == USUAL
        memory = BuildMemory(request.cache / "wheels", fresh=request.fresh or not usual)
        refusals = PolicyMemory(request)
        try:
            with temporary_folder() as here:
                archive = here / "source.tar"
                ours = (request.wheelhouse, request.cache, request.log)
                below = str(request.surroundings.source.relative_to(SCRATCH))
                source = snapshot(project, archive, below=below, leave_out=ours, say=say)
                digest = fingerprint(archive)
                key = build_key(request, digest, source, inputs)
                if found := memory.recall(key):
                    kept, record = found
                    wheel = put(kept, request.wheelhouse)
                    record = _as_now(record, request, source, started)
                    return BuildOutcome(wheel=wheel, record=record)
                with refusals.of(digest, source, inputs):
                    facts, requirements = job.make(engine, here, archive, source)
                wheel = put(facts.wheel.path, request.wheelhouse)
                record = _record_of(request, source, inputs, requirements, facts)
                if usual:
                    memory.keep(key, wheel, record)
        except OSError as error:
            raise refusal(request.cache, error, doing=job.what) from error
        return BuildOutcome(
            wheel=wheel,
            record=replace(record, duration=time.monotonic() - started),
            facts=replace(facts, wheel=replace(facts.wheel, path=wheel)),
        )


def _as_now(
    record: BuildRecord, request: BuildRequest, source: Snapshot, started: float
) -> BuildRecord:
    """The record of an earlier build, as it holds for this one."""
    return replace(
        record,
        project=str(request.project),
        commit=source.commit,
        dirty=source.dirty,
        duration=time.monotonic() - started,
    )


def _record_of(
    request: BuildRequest,
    source: Snapshot,
    inputs: BuildInputs,
    requirements: Pairs,
    facts: WheelFacts,
) -> BuildRecord:
    """All but the duration, which only the end of the build knows."""
    return BuildRecord(
        project=str(request.project),
        python=request.python.id,
        policy=inputs.policy,
        builder=inputs.builder,
        image=request.image.digest,
        image_name=request.image.name,
        tools=inputs.tools,
        requirements=requirements,
        commit=source.commit,
        dirty=source.dirty,
        wheel_sha256=facts.wheel.sha256,
        log=str(request.log),
        started=time.time(),
        siblings=tuple((one.wheel.filename, one.wheel.sha256) for one in request.siblings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One build under way."""

    request: BuildRequest
    project: Project
    toolchain: Toolchain
    index: IndexAccess

    @property
    def what(self) -> str:
        """The build in people's words: `markupsafe for cp311 as manylinux1`."""
        name = self.project.name or self.project.path.resolve().name
        return f"{name} for {self.request.python} as {self.toolchain.policy}"

    def make(
        self, engine: Engine, here: Path, archive: Path, source: Snapshot
    ) -> tuple[WheelFacts, Pairs]:
        """The repaired wheel in `here`, and the build requirements as they were resolved."""
        if self.toolchain.before_cxx is not None and has_cxx(archive):
            self.toolchain.before_cxx()
        with (
            within_bounds(self.request.cache, self._owner),
            BuildLog(self.request.log) as log,
            engine.open(self._spec(source)) as sandbox,
        ):
            steps = BuildSteps(
                sandbox,
                log,
                self.what,
                timeout=allowed_time(self.request.timeout, self.request.arch),
                prefix=self.toolchain.prefix,
            )
            environment = self._environment(source)
            front_end = self._front_end(steps, environment)
            if self.request.surroundings.backwards:
                turn_around(archive)
            sandbox.copy_in(archive, _ARCHIVE)
            archive.unlink()
            front_end.unpack(_ARCHIVE)
            self._provide(front_end)
            front_end.install(front_end.asked_for(), again=True)
            requirements = front_end.installed()  # before build_wheel could add to them
            front_end.build_wheel()
            sandbox.copy_out(BUILT, here / "built")
            facts = steps.read_wheel(here / "built")
            self._check_native(facts, log)
            if facts.elf:
                check_libc(self.what, self.toolchain.policy, facts)
                self._check_symbols(facts)  # before the repair, for the plainest words
                arch = self.request.arch
                repair = Repair(
                    steps=steps, toolchain=self.toolchain, environment=environment, arch=arch
                )
                repair.run(facts)
                sandbox.copy_out(REPAIRED, here / "repaired")
                facts = steps.read_wheel(here / "repaired")
                check_libc(self.what, self.toolchain.policy, facts)
                self._check_symbols(facts)  # for what was put in
            set_plain_modes(facts.wheel.path)
            facts = replace(facts, wheel=open_wheel(facts.wheel.path))
        return facts, requirements

    def _provide(self, front_end: FrontEnd) -> None:
        """Environment, toolchain and what the project names as required to build."""
        request, requires = self.request, self.project.build_requires
        if key := environment_key(request, self.project, self.toolchain, self.index):
            kept = BuildEnvironments(root=request.cache / "environments", fresh=request.fresh)
            kept.lay_out(key, front_end, requires)
        else:
            front_end.make_environment()
            front_end.run_before_build(request.before_build)
            front_end.install(requires)

    def _spec(self, source: Snapshot) -> SandboxSpec:
        mounts = [Mount(source=path, target=target) for path, target in self.index.mounts]
        siblings = [one.wheel for one in self.request.siblings]
        mounts += [Mount(source=one.path.resolve(), target=SIBLINGS / one.filename) for one in siblings]
        if source.objects is not None:
            mounts.append(Mount(source=source.objects, target=OBJECTS))
        request = self.request
        caches = (("pip", CACHES / "pip"), *self.toolchain.caches)
        return SandboxSpec(
            image=request.image,
            mounts=(
                *mounts,
                *self.toolchain.mounts,
                Mount(source=INSIDE_SOURCE, target=INSIDE),
                Mount(source=_folder_of(_LIBRARY), target=SCRATCH / "libraries" / _LIBRARY),
            ),
            caches=tuple(
                Cache(source=project_cache(request.cache, self._owner, name), target=target)
                for name, target in caches
            ),
            network=request.network,
            label=f"build {self.what}",
            hostname=request.surroundings.hostname,
        )

    @property
    def _owner(self) -> Path:
        """Whose caches it uses: a compiler's cache would hide what differs in other surroundings."""
        project = self.request.project
        usual = self.request.surroundings == USUAL
        return project if usual else project.with_name(f"{project.resolve().name} elsewhere")

    def _environment(self, source: Snapshot) -> dict[str, str]:
        return {
            **self.toolchain.environment,
            "SOURCE_DATE_EPOCH": str(source.epoch),
            "PYTHONHASHSEED": "0",
            "VIRTUAL_ENV": str(ENVIRONMENT),
            # git's own check of owners sees the sandbox's user, who owns nothing of the host
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }

    def _front_end(self, steps: BuildSteps, environment: Mapping[str, str]) -> FrontEnd:
        python = self.request.python
        kind = "pypy" if python.implementation is Implementation.PYPY else "python"
        library = f"{kind}{python.dotted}{'t' * python.free_threaded}"
        return FrontEnd(
            steps=steps,
            toolchain=self.toolchain,
            project=self.project,
            index=self.index,
            environment=environment,
            packages=ENVIRONMENT / "lib" / library / "site-packages",
            image=self.request.image.name,
            siblings=tuple(
                part
                for one in self.request.siblings
                for part in one.arguments(str(SIBLINGS / one.wheel.filename))
            ),
            source=self.request.surroundings.source,
            around_hooks=_ELSEWHERE if self.request.surroundings.elsewhere else (),
        )

    def _check_native(self, facts: WheelFacts, log: BuildLog) -> None:
        advise, wheelhouse = self.toolchain.advice, self.request.wheelhouse
        check_native(self.what, self.project, facts, log, wheelhouse, advise=advise)

    def _check_symbols(self, facts: WheelFacts) -> None:
        chain = self.toolchain
        exports = chain.python_exports()
        found = too_new_symbols(
            facts, chain.policy, chain.offered(), exports, aligned_new=chain.aligned_new
        )
        check_symbols(self.what, chain, found)


def check_native(
    what: str,
    project: Project,
    facts: WheelFacts,
    log: BuildLog,
    wheelhouse: Path,
    *,
    advise: Callable[[str], list[str]] = lambda _: [],
) -> None:
    """Raise BuildError (`extension-not-built`) where a wheel without native code should hold some.

    Back ends let an extension be optional: a compile that fails then goes unseen, and a pure wheel
    comes out with exit code 0. Evidence against it are the project's own files, the wheel's own tags,
    and another wheel of the same release. The error shows the compiler's; `advise` knows what to do
    about causes in a log.
    """
    other = native_wheel(wheelhouse, facts.wheel.name, facts.wheel.version)
    evidence = [
        *([f"its name promises a platform: {facts.wheel.filename}"] if not facts.wheel.is_pure else []),
        *project.native,
        *([f"another wheel of this release is native: {other}"] if other else []),
    ]
    if facts.elf or not evidence:
        return
    errors = log.errors(8)
    raise BuildError(
        f"{what}: the wheel holds no native code, but it should",
        why="\n".join([*evidence, *([errors] if errors else ["the log shows no compiler's error"])]),
        remedy="; ".join(
            [
                *advise(f"{log.errors(60)}\n{log.tail(400)}"),
                f"fix what kept its extensions from being built; the whole log is {log.path}",
            ]
        ),
        finding="extension-not-built",
    )


def _folder_of(library: str) -> Path:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(library)  # a dependency of ours
    return Path(spec.origin).parent
