"""From source to wheel inside a sandbox: an isolated environment, as pip and build do it (PEP 517).

pip's own isolation would hand the index's credentials on to the project's code. So the environment is
made here; index and credentials are in the environment of pip and of the user's own before-build
commands only. The back end's hooks are called by pyproject_hooks (inside/build_hooks.py), without the
metadata that `pip wheel` wants beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pytest_manylinux.building.api import (
    APART,
    BUILT,
    BYTECODE,
    CACHES,
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    INSIDE,
    SOURCE,
    Pairs,
    Toolchain,
)
from pytest_manylinux.building.newer_libc import NewerLibc, newer_libc
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.steps import BuildSteps, TimeOverError
from pytest_manylinux.engines.api import SCRATCH, Completed
from pytest_manylinux.errors import BuildError, ToolchainError
from pytest_manylinux.indexes import OUT_OF_REACH, IndexAccess
from pytest_manylinux.model.policy import Libc

ASKS_FOR_MORE = 75
"""The exit code of inside/build_hooks.py where the back end names requirements."""
HOOKS = str(INSIDE / "build_hooks.py")
_LISTS = SCRATCH / "requires"
_ASKED = _LISTS / "asked.txt"
_CONSTRAINTS = _LISTS / "constraints.txt"
_UNPACK = f'mkdir -p {_LISTS} "$2" && tar -x -o -f "$1" -C {SCRATCH} && rm "$1"'
# What the parts are that a toolchain has not laid out is no error; a full disk is.
_PACK = (
    'archive=$1 apart=$2; shift 2; cd "${archive%/*}" && rm -rf "$apart" && '
    'for part; do shift; [ ! -e "$part" ] || set -- "$@" "$part"; done; '
    'tar -c -f "$archive" "$@" || { rm -f "$archive"; exit 1; }'
)
_LAY_OUT = f'tar -x -o -f "$1" -C {SCRATCH} && rm "$1"'
_EPOCH = "SOURCE_DATE_EPOCH"  # py_compile checks by hashes where it is set, which costs each import
_KEEP = 'printf "%s\\n" "$1" > "$2"'

_SPOILT = re.compile(r"incomplete-download|not enough bytes were received|DO NOT MATCH THE HASHES")
_NOT_FOUND = re.compile(r"No matching distribution found for (\S+)")
_NOTHING_FOUND = "(from versions: none)"
# pip's words for steps that run the code of what exists only as an sdist, and for the end of each.
_FOREIGN_CODE = re.compile(
    r"(?:Getting requirements to build |Preparing (?:\w+ )?metadata|Building wheel for |"
    r"Running setup\.py ).*: (?P<state>started|finished|still running)"
)


def pip_environment(caches: PurePosixPath = CACHES) -> dict[str, str]:
    """How pip is to behave in a sandbox, whatever the user's own habits."""
    return {
        "PIP_CACHE_DIR": str(caches / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """Builds one project in one sandbox. `environment` is what the project's own code sees.

    `packages` is the site-packages folder of the isolated environment; `image` the name of the root.
    `siblings` are wheels in the sandbox, as pip takes them, that are installed with the build
    requirements and stand for what requires their projects.
    `source` is where the project's copy lies, `around_hooks` what calls of the back end start with;
    `caches` is the folder of pip's cache.
    """

    steps: BuildSteps
    toolchain: Toolchain
    project: Project
    index: IndexAccess
    environment: Mapping[str, str]
    packages: PurePosixPath
    image: str
    siblings: tuple[str, ...] = ()
    source: PurePosixPath = SOURCE
    around_hooks: tuple[str, ...] = ()
    caches: PurePosixPath = CACHES

    def unpack(self, archive: PurePosixPath) -> None:
        """Unpack the source; raises ToolchainError."""
        self._step("unpacking the source", ("sh", "-e", "-c", _UNPACK, "sh", archive, self.source))

    def make_environment(self) -> None:
        """Make the isolated environment and lay out the toolchain; raises ToolchainError."""
        chain = self.toolchain
        venv = (chain.python, "-m", "venv", "--without-pip", ENVIRONMENT)
        self._step("making the environment", venv)
        self.warm_up()
        if chain.set_up:
            self._step("setting up the toolchain", chain.set_up, chain.set_up_environment)

    def warm_up(self) -> None:
        """Fill the tools' caches with what is kept for all builds; raises ToolchainError."""
        if self.toolchain.warm_up:
            self._step("warming up", self.toolchain.warm_up)

    def apart(self) -> FrontEnd:
        """The same, with caches into which no build of the project has written."""
        environment = {**self.environment, **self.toolchain.cache_environment}
        return replace(self, environment=environment, caches=APART)

    def pack(self, archive: PurePosixPath) -> bool:
        """Pack environment and toolchain, what is installed with bytecode; whether there was room."""
        timed = {name: value for name, value in self.environment.items() if name != _EPOCH}
        # what cannot be compiled is for another Python, and nothing lost
        compiling = (ENVIRONMENT_PYTHON, "-m", "compileall", "-q", str(self.packages))
        self.steps.run("compiling build requirements", compiling, environment=timed)
        parts = (ENVIRONMENT, BYTECODE, *self.toolchain.folders)
        argv = ("sh", "-c", _PACK, "sh", str(archive), str(APART), *(part.name for part in parts))
        return self.steps.run("packing the environment", argv, environment=self.environment).ok

    def unpack_environment(self, archive: PurePosixPath) -> None:
        """Lay out what `pack` made; raises ToolchainError."""
        self._step("laying out the environment", ("sh", "-e", "-c", _LAY_OUT, "sh", archive))

    def _step(
        self, title: str, argv: tuple[str | PurePosixPath, ...], more: Mapping[str, str] | None = None
    ) -> None:
        """A step of ours, which the image has to be able to do."""
        environment = {**self.environment, **(more or {})}
        self.steps.run(title, tuple(map(str, argv)), environment=environment, needed_of=self.image)

    def run_before_build(self, commands: tuple[str, ...]) -> None:
        """Run the user's commands in the project's folder; raises BuildError for one that fails."""
        for command in commands:
            done = self.steps.run(
                f"before-build: {command}",
                ("sh", "-e", "-c", command),
                environment={**self.environment, **self.index.environment},
                cwd=self.source,
            )
            if not done.ok:
                raise self._failure(f"the before-build command failed: {command}", done)

    def install(self, wanted: tuple[str, ...], *, again: bool = False) -> None:
        """Install build requirements; `again` tells that the project's code has run since.

        Raises ToolchainError where the index is out of reach, what it sends is not what it should be,
        or does not come before the build's time is over; and where, without network, something is
        not available. Else BuildError.
        """
        if not wanted:
            return
        # pip looks for what it is asked for in turn: files are to be known before the names they meet
        wanted = (*self.siblings, *wanted)
        title, command = "installing build requirements", self._pip(again=again)
        environment = {**self.environment, **self.index.environment, **pip_environment(self.caches)}
        environment |= self.toolchain.pip_environment
        environment |= self.toolchain.own_bytecode if again else {}
        try:
            done = self.steps.run(title, (*command, "--", *wanted), environment=environment)
            if not done.ok and self.index.network and _NOTHING_FOUND in self.steps.log.tail(100):
                # pip tells of refused connections only if asked to
                argv = (*command, "-vv", "--", *wanted)
                done = self.steps.run(title, argv, environment=environment)
        except TimeOverError as error:
            if not self.index.network or _runs_foreign_code(self.steps.log.step()):
                raise
            raise _too_slow(self.steps, error) from error
        if not done.ok:
            raise _not_installed(self.steps, done, network=self.index.network)

    def asked_for(self) -> tuple[str, ...]:
        """What the back end wants in addition (PEP 517, get_requires_for_build_wheel)."""
        done = self.steps.run(
            "reading build requirements",
            self._hook("requires", _ASKED),
            environment=self._hook_environment(),
            cwd=self.source,
        )
        if done.ok:
            return ()
        if done.exit_code != ASKS_FOR_MORE:
            raise self._failure("the build requirements cannot be read", done)
        listed = self.steps.run("noting them", ("cat", str(_ASKED)), environment=self.environment)
        return tuple(line.strip() for line in listed.stdout.decode().splitlines() if line.strip())

    def installed(self) -> Pairs:
        """What the isolated environment holds: name, version."""
        program = (self.toolchain.tools_python, "-I", "-S", HOOKS, "installed", str(self.packages))
        done = self.steps.run(
            "noting build requirements",
            program,
            environment={**self.environment, **self.toolchain.own_bytecode},
            needed_of=self.image,
        )
        lines = (line.partition("==") for line in done.stdout.decode().splitlines())
        return tuple(sorted((name, version) for name, _, version in lines if version))

    def build_wheel(self) -> None:
        """Make the wheel in BUILT; raises BuildError with what decided."""
        hook = self._hook("wheel", BUILT)
        environment = self._hook_environment()
        done = self.steps.run("building", hook, environment=environment, cwd=self.source)
        if not done.ok:
            raise self._failure("it does not build", done)

    def _pip(self, *, again: bool) -> tuple[str, ...]:
        pip = self.toolchain.pip
        command = (*pip.command, "install", "--no-compile")
        if not pip.looks_away:
            return command
        command += ("--ignore-installed",)
        if not again:
            return command
        # else what is there would be replaced by what is newest
        frozen = "\n".join(f"{name}=={version}" for name, version in self.installed())
        keep = ("sh", "-c", _KEEP, "sh", frozen, str(_CONSTRAINTS))
        self.steps.run("keeping versions", keep, environment=self.environment, needed_of=self.image)
        return (*command, "--constraint", str(_CONSTRAINTS))

    def _hook(self, work: str, target: PurePosixPath) -> tuple[str, ...]:
        """The command that calls a hook of the back end; it runs in the project's folder."""
        program = (self.toolchain.tools_python, HOOKS, work, ENVIRONMENT_PYTHON)
        return (
            *self.around_hooks,
            *program,
            self.project.backend,
            str(target),
            *self.project.backend_path,
        )

    def _hook_environment(self) -> dict[str, str]:
        return {**self.environment, **self.toolchain.hook_environment}

    def _failure(self, what: str, done: Completed) -> BuildError:
        """The error for code of the project that failed: what is known of the log's words decides."""
        log = self.steps.log
        text = f"{log.errors(60)}\n{log.tail(400)}"
        if newer := newer_libc(self.toolchain, log.errors(60), text):
            return self._too_new(newer)
        failure = self.steps.failure(what, done)
        failure.remedy = "; ".join([*self.toolchain.advice(text), failure.remedy])
        return failure

    def _too_new(self, newer: NewerLibc) -> BuildError:
        enough = self.toolchain.enough_for(newer.since)
        return BuildError(
            f"{self.steps.what}: {newer.what}",
            why=f"it uses {newer.feature}, which needs {Libc(newer.libc, newer.since)} or newer\n"
            f"{self.steps.log.errors(4)}",
            remedy=f"set policy = {str(enough or 'a newer one')!r}, the lowest that will do; "
            f"the whole log is {self.steps.log.path}",
            finding="symbol-too-new",
            policy=str(enough or ""),
            because=newer.because,
        )


def _not_installed(steps: BuildSteps, done: Completed, *, network: bool) -> BuildError | ToolchainError:
    """Whose fault it is that build requirements were not installed."""
    failure = steps.failure("its build requirements cannot be installed", done)
    if not network:
        return _not_at_hand(steps) or failure
    if unreached := _unreached(steps.log.tail(400)):
        return ToolchainError(
            f"{steps.what}: the package index is out of reach",
            why=unreached,
            remedy="see that pip on this machine reaches its index, then run again",
        )
    if _SPOILT.search(steps.log.tail(400)):
        return ToolchainError(
            f"{steps.what}: what the package index sent is not whole",
            why=steps.log.decisive(),
            remedy="see that pip on this machine gets it whole from its index, then run again",
        )
    return failure


def _runs_foreign_code(text: str) -> bool:
    """Whether pip was making a build requirement from its source, not waiting for the index."""
    states = [match["state"] for match in _FOREIGN_CODE.finditer(text)]
    return bool(states) and states[-1] != "finished"


def _too_slow(steps: BuildSteps, error: TimeOverError) -> ToolchainError:
    said = steps.log.step().strip().splitlines()
    return ToolchainError(
        f"{error.what}; what it requires had not come from the package index by then",
        why=f"pip's last words: {said[-1].strip()}" if said else "pip wrote nothing",
        remedy="see that pip on this machine gets it from its index in time, then run again; "
        f"or raise build-timeout; the whole log is {steps.log.path}",
    )


def _unreached(text: str) -> str:
    """What pip says of the connection, on one line: with -vv its errors come with a traceback."""
    lines = [line.strip() for line in text.splitlines() if OUT_OF_REACH.search(line)]
    final = [line for line in lines if line.startswith("Could not fetch URL")]
    return (final or lines or [""])[-1].removeprefix("× ")  # noqa: RUF001 - how pip begins an error


def _not_at_hand(steps: BuildSteps) -> ToolchainError | None:
    """The error for what only a network could bring; None if the log speaks of something else."""
    text = steps.log.tail(400)
    found = _NOT_FOUND.search(text)
    if found is None and not OUT_OF_REACH.search(text):
        return None
    wanted = found[1] if found else "a build requirement"
    return ToolchainError(
        f"{steps.what}: {wanted} is not at hand, and this build has no network",
        why=steps.log.decisive(),
        remedy="put wheels of what the build requires, and of what that requires, into a folder "
        f"(`pip download --dest FOLDER '{found[1] if found else 'NAME'}'`), and name it for pip: "
        "PIP_FIND_LINKS=FOLDER; or set build-network = host",
    )
