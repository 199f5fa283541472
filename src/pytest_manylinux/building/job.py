"""One build under way: snapshot, sandbox, front end, repair, checks, wheelhouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.building import zig
from pytest_manylinux.building.api import BuildOutcome, BuildRequest, Say
from pytest_manylinux.building.build_caches import (
    forget_old_projects,
    has_cxx,
    project_caches,
    warm_mount,
)
from pytest_manylinux.building.build_record import BuildInputs, record_of
from pytest_manylinux.building.build_tools import BuildTools
from pytest_manylinux.building.compiler import warm_up
from pytest_manylinux.building.frontend import BUILT, FrontEnd
from pytest_manylinux.building.glibc_symbols import Version, load_symbols, too_new_symbols
from pytest_manylinux.building.log import BuildLog
from pytest_manylinux.building.native import check_native
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.repair import REPAIRED, Repair, check_symbols
from pytest_manylinux.building.source import OBJECTS, Snapshot, snapshot
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.building.wheelhouse import remembered
from pytest_manylinux.engines.api import Engine, Mount, SandboxSpec
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.wheel import WheelFacts

_ARCHIVE = zig.SCRATCH / "source.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that one build needs to know. `policy` is what the wheel will promise."""

    request: BuildRequest
    project: Project
    kit: BuildTools
    index: IndexAccess
    policy: Policy

    @property
    def what(self) -> str:
        """The build in people's words: `markupsafe for cp311 as manylinux1`."""
        name = self.project.name or self.project.path.resolve().name
        return f"{name} for {self.request.python} as {self.policy}"

    def run(self, engine: Engine, here: Path, say: Say) -> BuildOutcome:
        """Do it all, or take what an earlier run built from the same source in the same way.

        `here` is an empty folder of this machine for files in between.
        """
        archive = here / "source.tar"
        source = self._snapshot(archive, say)
        return remembered(
            self.request, archive, source, self._how, lambda: self._build(engine, here, archive, source)
        )

    @property
    def _how(self) -> BuildInputs:
        return BuildInputs(
            builder="zig",
            policy=str(self.policy),
            tools=self.kit.versions,
            index=self.index.identity,
        )

    def _build(
        self, engine: Engine, here: Path, archive: Path, source: Snapshot
    ) -> tuple[Path, BuildRecord]:
        """The repaired wheel, and how it was built."""
        forget_old_projects(self.request.cache)
        if has_cxx(archive):
            warm_up(self.kit.zig, self.request.cache, self.policy, self.request.arch, cxx=True)
        with BuildLog(self.request.log) as log, engine.open(self._spec(source)) as sandbox:
            bench = BuildSteps(sandbox, log, self.what, timeout=self.request.timeout)
            environment = self._environment(source)
            front_end = FrontEnd(
                bench=bench,
                kit=self.kit,
                index=self.index,
                environment=environment,
                policy=self.policy,
                offered=self._offered(),
            )
            sandbox.copy_in(archive, _ARCHIVE)
            archive.unlink()
            front_end.prepare(_ARCHIVE, self._set_up(), self.request.before_build)
            front_end.build()
            requirements = front_end.requirements()
            facts = bench.fetch_wheel(BUILT, here / "built")
            check_native(self.what, self.project, facts, log, self.request.wheelhouse)
            if facts.elf:
                facts = self._repaired(bench, facts, environment, here)
        record = record_of(
            self.request,
            source,
            self._how,
            requirements=requirements,
            sha256=facts.wheel.sha256,
        )
        return facts.wheel.path, record

    def _snapshot(self, target: Path, say: Say) -> Snapshot:
        ours = (self.request.wheelhouse, self.request.cache, self.request.log)
        return snapshot(self.project, target, below=zig.SOURCE.name, leave_out=ours, say=say)

    def _spec(self, source: Snapshot) -> SandboxSpec:
        mounts = [Mount(source=path, target=target) for path, target in self.index.mounts]
        if source.objects is not None:
            mounts.append(Mount(source=source.objects, target=OBJECTS))
        return SandboxSpec(
            image=self.request.image,
            mounts=(*mounts, *self.kit.mounts, warm_mount(self.request.cache)),
            caches=project_caches(self.request.cache, self.request.project),
            network=self.request.network,
            label=f"build {self.what}",
        )

    def _environment(self, source: Snapshot) -> dict[str, str]:
        """Proxies and the CA bundle are for all; where the index is, and its password, is for pip."""
        network = {
            name: value for name, value in self.index.environment.items() if not name.startswith("PIP_")
        }
        return zig.build_environment(self.request.arch, source.epoch, network)

    def _set_up(self) -> dict[str, str]:
        return zig.set_up_environment(
            self.policy,
            self.request.arch,
            f"python{self.request.python.dotted}",
            self.request.build_packages,
        )

    def _repaired(
        self, bench: BuildSteps, facts: WheelFacts, environment: Mapping[str, str], here: Path
    ) -> WheelFacts:
        """Check before the repair, for the plainest words, and after it, for what was put in."""
        self._check(facts)
        repair = Repair(
            bench=bench,
            kit=self.kit,
            environment=environment,
            policy=self.policy,
            arch=self.request.arch,
        )
        repair.run(facts.wheel.filename)
        repaired = bench.fetch_wheel(REPAIRED, here / "repaired")
        self._check(repaired)
        return repaired

    def _check(self, facts: WheelFacts) -> None:
        python = self.kit.python_exports()
        found = too_new_symbols(facts, self.policy.glibc, self._offered(), python)
        check_symbols(self.what, self.policy, found, self.kit.policies)

    def _offered(self) -> Mapping[str, frozenset[Version]]:
        return load_symbols(self.kit.symbols, zig.machine(self.request.arch).zig)
