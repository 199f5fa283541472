"""The builder interface: one wheel to make, how it came to be, and the toolchain that makes it.

A toolchain is all that differs between the ways to build a wheel, as data for the one pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from pytest_manylinux.building.glibc_symbols import Version, load_symbols
from pytest_manylinux.building.project import Project
from pytest_manylinux.engines.api import SCRATCH, Engine, Mount
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.inspect.symbols import musl_symbols
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import LibcKind, Policy
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.model.wheel import SiblingWheel, WheelFacts

Say = Callable[[str], None]
Pairs = tuple[tuple[str, str], ...]


SOURCE = SCRATCH / "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSurroundings:
    """What must not show in a wheel: where, when, and as whom the project's own code runs.

    `source` is the folder of the copied source and `hostname` the machine's name. `elsewhere` has the
    back end run under inside/elsewhere.sh: as another user with another umask, locale and time zone, on
    one core, and 400 days later if libfaketime is in the root. `backwards` puts the source's files into
    their folders in the opposite order, in which some file systems then list them.
    """

    source: PurePosixPath = SOURCE
    hostname: str = "sandbox"
    elsewhere: bool = False
    backwards: bool = False


USUAL = BuildSurroundings()
"""Those of every build; a second one elsewhere shows what depends on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One wheel to make.

    `project` is a folder or an sdist, only read; `known` is what was read of it before (None: it is
    read now). `image` is a root with the headers of `python` and with `build_packages`; `plain` the
    one it was grown from, in which tools are made that all such images share (None: in `image`).
    `before_build` are shell commands that run in the copied source. The build has the host's `network`
    or none; the making of tools has it. `timeout` is seconds for the project's own build, the making
    of tools not counted.
    `cache` is a folder of ours that may be shared by builds at the same time. `log` is overwritten.
    `fresh` builds even if an earlier build of the same source in the same way is remembered. A build in
    other `surroundings` than the usual is neither recalled nor remembered.
    With `auto` a failure that a newer policy would cure is remembered too: that one is built for next.
    `siblings` are wheels that are taken for what is required to build, whatever the index has.
    """

    project: Path
    known: Project | None = None
    python: PythonVersion
    policy: Policy
    arch: str
    image: Image
    plain: Image | None = None
    wheelhouse: Path
    before_build: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()
    network: bool = True
    timeout: float = 1800.0
    cache: Path
    log: Path
    fresh: bool = False
    auto: bool = False
    siblings: tuple[SiblingWheel, ...] = ()
    surroundings: BuildSurroundings = USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """The way of a build: what decides in addition to the request and the source.

    `policy` is what the wheel will promise, `index` the identity of the package index.
    """

    builder: str
    policy: str
    tools: Pairs
    index: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutcome:
    """The wheel in the wheelhouse, under its true tags, and how it came to be.

    `facts` are those of the wheel; None where an earlier build's wheel was taken, which was not read.
    """

    wheel: Path
    record: BuildRecord
    facts: WheelFacts | None = None


class Builder(Protocol):
    """A way to make wheels for a policy. `name` is what `--manylinux-builder` takes."""

    @property
    def name(self) -> str:
        """Such as `zig`."""

    def build(self, request: BuildRequest, engine: Engine, *, say: Say) -> BuildOutcome:
        """Make the wheel; `say` gets a line for each long step.

        Raises BuildError where the project is at fault (its `finding` says how), ProjectError for a
        project that cannot be built at all, ToolchainError where compiler or tools are not available,
        StoreError for a full or read-only disk and for a wheelhouse that holds a file of the
        wheel's name with other bytes, and what the engine raises.
        """


ENVIRONMENT = SCRATCH / "env"
CACHES = SCRATCH / "cache"
APART = SCRATCH / "apart"
"""Caches that begin empty, for what is made for all builds: what earlier builds of a project wrote into
its own (CACHES) must not get into another's."""
BUILT = SCRATCH / "built"
REPAIRED = SCRATCH / "repaired"
INSIDE = SCRATCH / "inside"
SIBLINGS = SCRATCH / "siblings"
"""Where inside/ of this room is seen in a sandbox."""
INSIDE_SOURCE = Path(__file__).parent / "inside"

ENVIRONMENT_PYTHON = str(ENVIRONMENT / "bin/python")
"""The interpreter of the build's isolated environment: it runs the build back end."""

BYTECODE = SCRATCH / "bytecode"
"""Where Pythons of an image keep what they compiled: its own folders are read-only (Python 3.8).

The project's code may write there, too: see NO_BYTECODE.
"""
NO_BYTECODE = {"PYTHONPYCACHEPREFIX": ""}
"""For what is not the project's own, once its code has run: credentials, records and the repair must
not meet what it put in the place of the toolchain's modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """A pip that installs into the build's environment.

    One older than 22.3 has no option `--python` (its changelog). It is run by the environment's own
    Python and then sees what its own root has installed: `looks_away` tells that it must not.
    """

    command: tuple[str, ...]
    looks_away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """What a pattern in the log of a failed build means.

    Either a `remedy`, which may be made from each match, or code that is too new for the policy: `what`
    says so, `feature` is what it uses and `since` the first glibc that has it. Without a `feature`, the
    pattern's groups tell; see newer_libc.py.
    """

    pattern: re.Pattern[str]
    what: str = ""
    feature: str = ""
    since: Version = ()
    remedy: str | Callable[[re.Match[str]], str] = ""

    def advice(self, log: str) -> Iterator[str]:
        """What to do where a log has it: once for each thing that it names."""
        for match in self.pattern.finditer(log) if self.remedy else ():
            yield self.remedy if isinstance(self.remedy, str) else self.remedy(match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """How one wheel is built. Paths and commands are those of the sandbox.

    `policy` is what the wheel will promise; `policies` are those that its auditwheel repairs to,
    oldest first. `versions` are (name, version) of its tools. `prefix` is what every command starts
    with. `python` makes the isolated environment; `tools_python` (3.6 or later) runs the programs of
    inside/, and has pyelftools if `elf_tools` is set.

    `environment` is what the project's own code sees, `set_up` a command that runs before any of it and
    after the isolated environment is made, with `set_up_environment` added; it writes there and into
    `folders`. `warm_up` is a command that fills the tools' caches with what is kept for all builds;
    `cache_environment` names such caches below APART. The back end's hooks have
    `hook_environment` added, pip `pip_environment`: build requirements that pip compiles are for the
    interpreter that runs here, whatever the wheel is for. `caches` are folders that builds of the same
    project write and find again: (name, where it is seen).

    `auditwheel_environment` is added to `environment` for the command `auditwheel`; it has to name a
    PATH on which nothing of the project lies. `on_other_libc` tells that it runs on another C library
    than the policy's. `library_remedy` is what to do about a missing library.

    `own_bytecode` is added to the environment of what is not the project's own code, once that has run:
    where bytecode lies that the project could not write.

    `symbols` is the table of the symbols that each glibc offers (see glibc_symbols.py) and `target` the
    name in it; without a table none are known. musl's symbols are known always. `exports` is a
    file with the names that the interpreter offers to extension modules. `aligned_new` is the C library
    from which on the compiler's own C++ library has aligned new (C++17); empty where it always has.
    `before_cxx` is called on this machine before a build of C++ sources.

    A target of another architecture is a value too: the compiler is this machine's own, aimed at it,
    with the headers of the target's root among the `mounts`. No compiler is ever emulated.
    """

    policy: Policy
    policies: tuple[Policy, ...] = ()
    versions: Pairs = ()
    prefix: tuple[str, ...] = ()
    python: str
    tools_python: str
    elf_tools: bool = False
    pip: Pip
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    set_up: tuple[str, ...] = ()
    set_up_environment: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[PurePosixPath, ...] = ()
    warm_up: tuple[str, ...] = ()
    cache_environment: Mapping[str, str] = field(default_factory=dict)
    hook_environment: Mapping[str, str] = field(default_factory=dict)
    pip_environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    caches: tuple[tuple[str, PurePosixPath], ...] = ()
    auditwheel: tuple[str, ...] = ("auditwheel",)
    auditwheel_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    auditwheel_name: str = "auditwheel"
    on_other_libc: bool = False
    own_bytecode: Mapping[str, str] = field(default_factory=NO_BYTECODE.copy)
    library_remedy: str = "let before-build make it"
    symbols: Path | None = None
    target: str = ""
    exports: Path | None = None
    aligned_new: Version = ()
    known_failures: tuple[KnownFailure, ...] = ()
    before_cxx: Callable[[], None] | None = None

    def advice(self, log: str) -> list[str]:
        """What to do about causes that are known by their words in a build's log, each once."""
        return _together(
            dict.fromkeys(one for known in self.known_failures for one in known.advice(log))
        )

    def offered(self) -> Mapping[str, frozenset[Version]]:
        """The symbols of the policy's C library, with the versions that offer them, as far as known."""
        if self.policy.kind is LibcKind.MUSL:
            return {name: frozenset({since}) for name, since in musl_symbols().items()}
        return {} if self.symbols is None else load_symbols(self.symbols, self.target)

    def python_exports(self) -> frozenset[str]:
        """The dynamic symbols that the interpreter offers to extension modules, if they are known."""
        if self.exports is None:
            return frozenset()
        return frozenset(self.exports.read_text(encoding="utf-8").split())

    def enough_for(self, version: Version) -> Policy | None:
        """The oldest policy that promises this version of the C library; None if none is known."""
        return next((policy for policy in self.policies if policy.version >= version), None)

    def newer_than(self, policy: Policy) -> Policy | None:
        """The next policy; None if there is no newer one."""
        return next((one for one in self.policies if one > policy), None)

    def next_usual(self) -> Policy | None:
        """The policy that is commonly built for next, where nothing says which one is needed."""
        newer = (policy for policy in self.policies if policy > self.policy)
        return next((policy for policy in newer if policy.version in _USUAL), None)


THOUGH_INSTALLED = " is not found, though "
_BRINGS = re.compile(r'(?P<what>[^"]+): build-packages = \["(?P<package>[^"]+)"\] brings it')


def _together(advice: Iterable[str]) -> list[str]:
    """The same advice, with one line for all packages: as it is to stand in the project's table.

    What an installed package has is told of the first thing that was not found in it.
    """
    first: dict[str, str] = {}
    for one in advice:
        _, installed, rest = one.partition(THOUGH_INSTALLED)
        first.setdefault(rest if installed else one, one)
    asked = [(one, _BRINGS.fullmatch(one)) for one in first.values()]
    found = [match for _, match in asked if match]
    if len(found) < 2:  # noqa: PLR2004 - nothing to put together
        return [one for one, _ in asked]
    packages = ", ".join(f'"{name}"' for name in dict.fromkeys(match["package"] for match in found))
    together = ", ".join(match["what"] for match in found)
    return [
        f"{together}: build-packages = [{packages}] brings them",
        *(one for one, match in asked if not match),
    ]


_USUAL: frozenset[Version] = frozenset({(2, 12), (2, 17), (2, 28), (2, 34)})
"""glibcs of the policies that official images are made for (pypa/manylinux)."""

MakeToolchain = Callable[[BuildRequest, Engine, IndexAccess, Say], Toolchain]
"""Makes the toolchain for a build, fetching what is missing; raises ToolchainError and StoreError."""
