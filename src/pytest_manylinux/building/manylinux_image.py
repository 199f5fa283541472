"""The builder `official`, and any image of the manylinux layout that is named as builder.

Symbols that the linker found nowhere are judged by the table that comes with zig, if zig was ever
fetched into the cache; else only versioned ones are, and the trials' loaders see the rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pytest_manylinux.building import zig
from pytest_manylinux.building.api import BuildOutcome, BuildRequest, Say
from pytest_manylinux.building.build_caches import project_cache
from pytest_manylinux.building.build_record import BuildInputs, record_of
from pytest_manylinux.building.build_tools import known_symbols
from pytest_manylinux.building.glibc_symbols import too_new_symbols
from pytest_manylinux.building.image_layout import Layout
from pytest_manylinux.building.image_repair import REPAIRED, ImageRepair
from pytest_manylinux.building.log import BuildLog
from pytest_manylinux.building.native import check_native
from pytest_manylinux.building.pip_wheel import BUILT, INSIDE, PIP_CACHE, SOURCE, PipWheel, UsedTools
from pytest_manylinux.building.project import Project, read_project
from pytest_manylinux.building.repair import check_symbols
from pytest_manylinux.building.source import OBJECTS, Snapshot, snapshot
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.building.wheelhouse import remembered
from pytest_manylinux.cache.disk_errors import refusal
from pytest_manylinux.engines.api import SCRATCH, Cache, Engine, Mount, Sandbox, SandboxSpec
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.indexes import IndexAccess, host_index
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.wheel import WheelFacts

_ARCHIVE = SCRATCH / "source.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBuilder:
    """Builds in the image of `layout`. `name` is `official`, or the image as it was named."""

    name: str
    layout: Layout

    def build(self, request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
        """Make the wheel; see `api.Builder`. `request.image` must be the layout's."""
        started = time.monotonic()
        job = _Job(
            builder=self.name,
            request=request,
            layout=self.layout,
            project=read_project(request.project),
            index=host_index() if request.network else host_index().offline(),
            python=python_in(self.layout, request),
            policy=_repairable(self.layout, request.policy),
        )
        if job.policy != request.policy:
            say(f"auditwheel of {self.name} knows no {request.policy}: building for {job.policy}")
        try:
            with temporary_folder() as here:
                outcome = job.run(engine, here, say)
        except OSError as error:
            raise refusal(request.cache, error, doing=job.what) from error
        record = replace(outcome.record, duration=time.monotonic() - started)
        return replace(outcome, record=record)


def python_in(layout: Layout, request: BuildRequest) -> PurePosixPath:
    """The folder of the wanted interpreter; raises ToolchainError if the image has none."""
    found = layout.python(request.python)
    if found is None:
        raise ToolchainError(
            f"image {layout.image.name} has no {request.python}",
            why=f"in /opt/python are {', '.join(layout.pythons)}",
            remedy="set builder = zig, name another image as builder, or set python",
        )
    return found


def _repairable(layout: Layout, wanted: Policy) -> Policy:
    """The newest policy not above the wanted one that the image's auditwheel repairs to (PEP 600)."""
    known = max((known for known in layout.policies if known <= wanted), default=None)
    if known is None:
        raise ToolchainError(
            f"auditwheel of {layout.image.name} repairs to no policy as old as {wanted}",
            why=f"it knows {', '.join(map(str, layout.policies)) or 'none'}",
            remedy="set builder = zig, or name another image as builder",
        )
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One build under way. `policy` is what the wheel will promise."""

    builder: str
    request: BuildRequest
    layout: Layout
    project: Project
    index: IndexAccess
    python: PurePosixPath
    policy: Policy

    @property
    def what(self) -> str:
        """The build in people's words."""
        name = self.project.name or self.project.path.resolve().name
        return f"{name} for {self.request.python} as {self.policy}"

    def run(self, engine: Engine, here: Path, say: Say) -> BuildOutcome:
        """Do it all; `here` is an empty folder of this machine for files in between."""
        archive = here / "source.tar"
        ours = (self.request.wheelhouse, self.request.cache, self.request.log)
        source = snapshot(self.project, archive, below=SOURCE.name, leave_out=ours, say=say)
        return remembered(
            self.request, archive, source, self._how, lambda: self._build(engine, here, archive, source)
        )

    @property
    def _how(self) -> BuildInputs:
        return BuildInputs(
            builder=self.builder,
            policy=str(self.policy),
            tools=self.layout.tools,
            index=self.index.identity,
        )

    def _build(
        self, engine: Engine, here: Path, archive: Path, source: Snapshot
    ) -> tuple[Path, BuildRecord]:
        """The repaired wheel, and how it was built."""
        with BuildLog(self.request.log) as log, engine.open(self._spec(source)) as sandbox:
            maker = self._maker(sandbox, log, source)
            sandbox.copy_in(archive, _ARCHIVE)
            archive.unlink()
            made = maker.build(_ARCHIVE, self.request.before_build)
            facts = maker.bench.fetch_wheel(BUILT, here / "built")
            check_native(self.what, self.project, facts, log, self.request.wheelhouse)
            if facts.elf:
                facts = self._repaired(maker, facts, here)
        return facts.wheel.path, self._record(source, made, facts.wheel.sha256)

    def _maker(self, sandbox: Sandbox, log: BuildLog, source: Snapshot) -> PipWheel:
        return PipWheel(
            bench=BuildSteps(sandbox, log, self.what, timeout=self.request.timeout),
            layout=self.layout,
            python=self.python,
            project=self.project,
            index=self.index,
            epoch=source.epoch,
        )

    def _record(self, source: Snapshot, made: UsedTools, sha256: str) -> BuildRecord:
        return record_of(
            self.request,
            source,
            self._how,
            requirements=made.requirements,
            sha256=sha256,
            more_tools=made.tools,
        )

    def _spec(self, source: Snapshot) -> SandboxSpec:
        cache = project_cache(self.request.cache, self.request.project, "pip")
        mounts = [Mount(source=path, target=target) for path, target in self.index.mounts]
        if source.objects is not None:
            mounts.append(Mount(source=source.objects, target=OBJECTS))
        return SandboxSpec(
            image=self.request.image,
            mounts=(*mounts, Mount(source=zig.INSIDE_SOURCE, target=INSIDE)),
            caches=(Cache(source=cache, target=PIP_CACHE),),
            network=self.request.network,
            label=f"build {self.what}",
        )

    def _repaired(self, maker: PipWheel, facts: WheelFacts, here: Path) -> WheelFacts:
        """Check before the repair, for the plainest words, and after it, for what was put in."""
        self._check(facts)
        ImageRepair(maker=maker, policy=self.policy, arch=self.request.arch).run(facts)
        repaired = maker.bench.fetch_wheel(REPAIRED, here / "repaired")
        self._check(repaired)
        return repaired

    def _check(self, facts: WheelFacts) -> None:
        offered = known_symbols(self.request.cache, self.request.arch)
        found = too_new_symbols(facts, self.policy.glibc, offered, ())
        check_symbols(self.what, self.policy, found, self.layout.policies)
