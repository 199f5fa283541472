"""From source to wheel in a builder image: an isolated environment, as pip and build do it (PEP 517).

pip's own isolation would hand the index's credentials on to the project's code. So the environment is
made here, with the image's Python and pip: pip alone sees index, proxies and the user's certificates,
and the project sees what the image has. The back end's hooks are called as `build` calls them, without
the metadata that `pip wheel` wants beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.version import InvalidVersion, Version

from pytest_manylinux.building.build_tools import pip_environment
from pytest_manylinux.building.image_layout import Layout
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.requirements import install_requirements
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.engines.api import SCRATCH, Completed
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.indexes import IndexAccess

Pairs = tuple[tuple[str, str], ...]

SOURCE = SCRATCH / "source"
BUILT = SCRATCH / "built"
ENVIRONMENT = SCRATCH / "env"
INSIDE = SCRATCH / "inside"
"""Where inside/ of this room is seen in a sandbox."""
PIP_CACHE = SCRATCH / "cache/pip"
"""Where pip's cache is seen: what `pip_environment` says."""

BYTECODE = SCRATCH / "bytecode"
"""Where Pythons of the image keep what they compiled: its own folders are read-only (Python 3.8).

The project's code may write there, too: see NO_BYTECODE.
"""
NO_BYTECODE = {"PYTHONPYCACHEPREFIX": ""}
"""For what is not the project's own, once its code has run: credentials, records and the repair must
not meet what it put in the place of the image's modules."""

_LISTS = SCRATCH / "requires"
_DYNAMIC = _LISTS / "dynamic.txt"
_ASKS_FOR_MORE = 75  # inside/back_end.py
_CONSTRAINTS = _LISTS / "constraints.txt"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNPACK = f'mkdir -p {_LISTS} && tar -x -o -f "$1" -C {SCRATCH} && rm "$1"'
_KEEP = 'printf "%s\\n" "$1" > "$2"'
# pip, its folder, the interpreter's full version, where an environment has its packages
_ASK = (
    "import os, pip, platform, sys; print(pip.__version__); print(os.path.dirname(pip.__file__)); "
    "print(platform.python_version()); print('python%d.%d' % sys.version_info[:2])"
)
_TAKES_PYTHON = Version("22.3")
"""pip's option `--python` came with this release (its changelog)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePip:
    """The image's pip, as it works on the build's environment.

    An old one is run by the environment's own Python and then sees what the image has installed
    beside it, so it has to be told to look away. `packages` is the environment's site-packages.
    """

    version: str
    python: str
    command: tuple[str, ...]
    packages: PurePosixPath
    looks_away: bool


def image_pip(answer: str, own: PurePosixPath) -> ImagePip:
    """Read the four lines that the interpreter `own` answers; raises ValueError for anything else."""
    version, folder, python, name = answer.split("\n")[:4]
    try:
        new = Version(version) >= _TAKES_PYTHON
    except InvalidVersion as error:
        raise ValueError(version) from error
    inner = str(ENVIRONMENT / "bin/python")
    return ImagePip(
        version=version,
        python=python,
        command=(str(own), "-m", "pip", "--python", inner) if new else (inner, folder),
        packages=ENVIRONMENT / "lib" / name / "site-packages",
        looks_away=not new,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTools:
    """What a build was made with: versions of Python, pip; the build requirements as resolved."""

    tools: Pairs
    requirements: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class PipWheel:
    """Builds one project in one sandbox.

    `python` is the interpreter's folder in the image, `epoch` the source's time in seconds.
    """

    bench: BuildSteps
    layout: Layout
    python: PurePosixPath
    project: Project
    index: IndexAccess
    epoch: int

    @property
    def environment(self) -> dict[str, str]:
        """What the project's own code sees: the image's environment, this Python's programs first."""
        own = self.layout.environment
        return {
            **own,
            "PATH": f"{ENVIRONMENT}/bin:{self.python}/bin:{own.get('PATH', _PATH)}",
            "VIRTUAL_ENV": str(ENVIRONMENT),
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "PYTHONHASHSEED": "0",
            "PYTHONPYCACHEPREFIX": str(BYTECODE),
            # git's own check of owners sees the sandbox's user, who owns nothing of the host
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }

    def build(self, archive: PurePosixPath, before_build: tuple[str, ...]) -> UsedTools:
        """Unpack the source, run the user's commands, make the wheel in BUILT.

        Raises BuildError where the project is at fault, ToolchainError where image or index are.
        """
        own = str(self.python / "bin/python")
        self._need("unpacking the source", "sh", "-e", "-c", _UNPACK, "sh", str(archive), at=SCRATCH)
        self._need("making the environment", own, "-m", "venv", "--without-pip", str(ENVIRONMENT))
        pip = self._pip(own)
        for command in before_build:
            done = self.run(
                f"before-build: {command}", "sh", "-e", "-c", command, more=self.index.environment
            )
            if not done.ok:
                raise self.bench.failure(f"the before-build command failed: {command}", done)
        self._install(pip, self.project.build_requires)
        self._install(pip, self._asked_for(), again=True)
        requirements = self._installed(pip)  # before the project's code could add to them
        self._wheel()
        return UsedTools(
            tools=(("python", pip.python), ("pip", pip.version)), requirements=requirements
        )

    def run(
        self,
        title: str,
        *argv: str,
        more: Mapping[str, str] | None = None,
        at: PurePosixPath = SOURCE,
    ) -> Completed:
        """Run a step in the image's environment, and what `more` adds to it."""
        environment = {**self.environment, **(more or {})}
        return self.bench.run(title, (*self.layout.prefix, *argv), environment=environment, cwd=at)

    def _need(
        self,
        title: str,
        *argv: str,
        more: Mapping[str, str] | None = None,
        at: PurePosixPath = SOURCE,
    ) -> Completed:
        """Run what only the image can be at fault for."""
        done = self.run(title, *argv, more=more, at=at)
        if not done.ok:
            raise ToolchainError(
                f"{self.bench.what}: {title} failed in {self.layout.image.name}",
                why=self.bench.log.decisive(),
                remedy=f"the whole log is {self.bench.log.path}",
            )
        return done

    def _pip(self, own: str) -> ImagePip:
        answer = self._need("asking for pip", own, "-c", _ASK).stdout.decode("utf-8", "replace")
        try:
            return image_pip(answer, PurePosixPath(own))
        except ValueError as error:
            raise ToolchainError(
                f"{self.bench.what}: pip of {own} does not say its version", why=answer.strip()
            ) from error

    def _install(self, pip: ImagePip, wanted: tuple[str, ...], *, again: bool = False) -> None:
        if not wanted:
            return
        network = {**self.index.environment, **pip_environment()}
        options: tuple[str, ...] = ("--no-compile",)
        if pip.looks_away:
            options += ("--ignore-installed",)
            if again:  # else what is there would be replaced by what is newest
                frozen = "\n".join(f"{name}=={version}" for name, version in self._installed(pip))
                self._need("keeping versions", "sh", "-c", _KEEP, "sh", frozen, str(_CONSTRAINTS))
                options += ("--constraint", str(_CONSTRAINTS))
        if again:
            network |= NO_BYTECODE
        install_requirements(
            self.bench,
            lambda *more: self.run(
                "installing build requirements",
                *(*pip.command, "install", *options, *more, *wanted),
                more=network,
            ),
            network=self.index.network,
        )

    def _asked_for(self) -> tuple[str, ...]:
        """What the back end still wants, in its own words."""
        done = self._back_end("reading build requirements", "requires", _DYNAMIC)
        if done.ok:
            return ()
        if done.exit_code != _ASKS_FOR_MORE:
            raise self.bench.failure("the build requirements cannot be read", done)
        listed = self.run("noting them", "cat", str(_DYNAMIC))
        return tuple(line.strip() for line in listed.stdout.decode().splitlines() if line.strip())

    def _wheel(self) -> None:
        done = self._back_end("building", "wheel", BUILT)
        if not done.ok:
            raise self.bench.failure("it does not build", done)

    def _back_end(self, title: str, work: str, target: PurePosixPath) -> Completed:
        """Call a hook. Unbuffered, so that its words stand beside those of what it runs."""
        program = (str(ENVIRONMENT / "bin/python"), "-u", str(INSIDE / "back_end.py"))
        backend = (self.project.backend, str(target), *self.project.backend_path)
        return self.run(title, *program, work, *backend)

    def _installed(self, pip: ImagePip) -> Pairs:
        program = (str(self.python / "bin/python"), "-I", "-S", str(INSIDE / "list_installed.py"))
        done = self._need("noting build requirements", *program, str(pip.packages), more=NO_BYTECODE)
        lines = (line.partition("==") for line in done.stdout.decode().splitlines())
        return tuple(sorted((name, version) for name, _, version in lines if version))
