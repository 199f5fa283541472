"""From source to wheel inside a sandbox: an isolated environment, as pip and build do it (PEP 517).

Requirements are installed by a current pip from the user's own index. That index's credentials are
in the environment of pip and of the user's own before-build commands only, never of the project's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_manylinux.building import zig
from pytest_manylinux.building.build_tools import BuildTools, pip_environment
from pytest_manylinux.building.glibc_symbols import Version
from pytest_manylinux.building.requirements import install_requirements
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.engines.api import Completed
from pytest_manylinux.errors import BuildError, ToolchainError
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.policy import Policy

BUILT = zig.SCRATCH / "built"
_STATIC = zig.SCRATCH / "requires.txt"
_DYNAMIC = zig.SCRATCH / "requires-more.txt"
_INSTALLED = zig.SCRATCH / "requires-more.txt.installed"
_ASKS_FOR_MORE = 75  # inside/agent.py
_ALIGNED_NEW = re.compile(
    r"align_val_t|aligned (?:de)?allocation function|no member named 'aligned_alloc'"
)
# zig's headers hide what the policy's glibc does not offer, and its linker does not find it.
_UNKNOWN_NAME = re.compile(
    r"(?:undeclared (?:function|identifier) '|undefined symbol: |no member named ')(\w+)"
)
_SCM = re.compile(r"setuptools[-_]scm was unable to detect version|vcs_versioning.*LookupError")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """Builds one project in one sandbox. `environment` is what the project's own code sees.

    `offered` are the symbols of all glibcs, with the versions that offer them.
    """

    bench: BuildSteps
    kit: BuildTools
    index: IndexAccess
    environment: Mapping[str, str]
    policy: Policy
    offered: Mapping[str, frozenset[Version]]

    def prepare(
        self, archive: PurePosixPath, set_up: Mapping[str, str], before_build: tuple[str, ...]
    ) -> None:
        """Unpack the source, lay out toolchain and isolated environment, run the user's commands."""
        done = self.bench.run(
            "setting up the toolchain",
            ("sh", str(zig.INSIDE / "set_up.sh")),
            environment={**self.environment, **set_up, "ARCHIVE": str(archive)},
        )
        if not done.ok:
            raise ToolchainError(
                f"{self.bench.what}: the toolchain could not be set up",
                why=self.bench.log.decisive(),
                remedy=f"the whole log is {self.bench.log.path}",
            )
        for command in before_build:
            done = self.bench.run(
                f"before-build: {command}",
                ("sh", "-e", "-c", command),
                environment={**self.environment, **self.index.environment},
                cwd=zig.SOURCE,
            )
            if not done.ok:
                raise self.bench.failure(f"the before-build command failed: {command}", done)

    def build(self) -> None:
        """Make the wheel in BUILT; raises BuildError with what decided."""
        done = self._agent("reading build requirements", "requires", zig.SOURCE, _STATIC)
        if not done.ok:
            raise self.bench.failure("the build requirements cannot be read", done)
        self._install(_STATIC)
        python = ENVIRONMENT_PYTHON
        work = ("wheel", zig.SOURCE, python, BUILT, _DYNAMIC)
        done = self._agent("building", *work)
        if done.exit_code == _ASKS_FOR_MORE:
            self._install(_DYNAMIC)
            done = self._agent("building", *work)
        if not done.ok:
            raise self._not_built(done)

    def requirements(self) -> tuple[tuple[str, str], ...]:
        """What was installed for the build: name, version."""
        done = self.bench.run(
            "noting build requirements", ("cat", str(_INSTALLED)), environment=self.environment
        )
        lines = (line.split() for line in done.stdout.decode().splitlines())
        return tuple(sorted((words[0], words[1]) for words in lines if len(words) > 1))

    def _agent(self, title: str, *arguments: str | PurePosixPath) -> Completed:
        argv = (self.kit.python, str(zig.INSIDE / "build_agent.py"), *map(str, arguments))
        return self.bench.run(title, argv, environment=self.environment)

    def _install(self, listing: PurePosixPath) -> None:
        install_requirements(
            self.bench, lambda *options: self._pip(listing, *options), network=self.index.network
        )

    def _pip(self, listing: PurePosixPath, *options: str) -> Completed:
        pip = (self.kit.python, "-m", "pip", "--python", str(ENVIRONMENT_PYTHON))
        return self.bench.run(
            "installing build requirements",
            (*pip, "install", *options, "--no-compile", "-r", str(listing)),
            environment={**self.environment, **self.index.environment, **pip_environment()},
        )

    def _not_built(self, done: Completed) -> BuildError:
        log = self.bench.log
        text = f"{log.errors(60)}\n{log.tail(400)}"
        if _ALIGNED_NEW.search(text):
            return self._too_new(
                "its C++ is too new for this policy",
                "aligned new (std::align_val_t, C++17)",
                zig.CXX17_SINCE,
            )
        names = _UNKNOWN_NAME.findall(log.errors(60))
        since = {name: min(self.offered[name]) for name in names if name in self.offered}
        if newer := {name: version for name, version in since.items() if version > self.policy.glibc}:
            worst = max(newer, key=newer.__getitem__)
            return self._too_new(
                "it needs a newer glibc than this policy promises", worst, newer[worst]
            )
        failure = self.bench.failure("it does not build", done)
        if _SCM.search(text):
            failure.remedy = (
                f'name "git" in build-packages: it reads its version from git; {failure.remedy}'
            )
        return failure

    def _too_new(self, what: str, name: str, since: Version) -> BuildError:
        enough = next((str(one) for one in self.kit.policies if one.glibc >= since), "a newer one")
        return BuildError(
            f"{self.bench.what}: {what}",
            why=f"it uses {name}, which needs glibc {'.'.join(map(str, since))} or newer\n"
            f"{self.bench.log.errors(4)}",
            remedy=f"set policy = {enough!r}, the lowest that will do; "
            f"the whole log is {self.bench.log.path}",
            finding="symbol-too-new",
        )


ENVIRONMENT_PYTHON = zig.ENVIRONMENT / "bin/python"
"""The interpreter of the isolated environment: it runs the build back end."""
