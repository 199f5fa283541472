"""Where CPython is built from source: in the target's own root, or for it by this machine's processor.

Under an emulator a build takes hours. So for an architecture that is emulated here the distro's own
cross compiler does it, in the distro's root of this machine's architecture, with the headers and
libraries of the target's root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import MIB, SCRATCH, Command, Engine, Limits, Mount, SandboxSpec
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.host.architecture import allowed_time, emulation_of, host_arch
from pytest_manylinux.model.distro import DEBIAN_TRIPLETS, AddedPython, Image, Interpreter, Target
from pytest_manylinux.model.python import Implementation

LIBRARIES = (
    *("libc6-dev", "libffi-dev", "libssl-dev"),
    *("zlib1g-dev", "libbz2-dev", "liblzma-dev", "libsqlite3-dev"),
)
"""What a root gets to link CPython: the libraries of the modules that pip and packages use."""

COMPILER = ("gcc", "make")

INSIDE = PurePosixPath("/tmp/inputs")  # noqa: S108 - the sandbox's own
ROOM = Limits(memory=8192 * MIB, scratch=6144 * MIB)
"""What a sandbox that builds may use."""

_SYSROOT = "sysroot.tar"
_COPY_TIMEOUT = 300.0
# Not what programs of the root's own need: its compiler and Python are not those of the build.
_COPY = (
    "tar --directory=/ --create --file=sysroot.tar --exclude=usr/lib/gcc --exclude='usr/lib/python3*' "
    "usr/include usr/lib $(cd / && ls -d lib lib32 lib64 usr/lib32 usr/lib64 2>/dev/null)"
)

Root = Callable[[str, tuple[str, ...]], Image]
"""The distro's root of an architecture, with packages of that architecture, to build in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlace:
    """A root to build in, what is mounted there besides, and what inside/build_cpython.sh is told."""

    image: Image
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def build_place(
    target: Target, engine: Engine, root: Root, folder: Path, *, native: Callable[[Target], AddedPython]
) -> BuildPlace:
    """Where the Python of a target is built; `native` provides the same Python for this machine.

    Files that the build needs are put into `folder`. Raises ToolchainError, and what `root`, `native`
    and the engine raise.
    """
    if not emulation_of(target.arch).emulated:
        image = root(target.arch, (*COMPILER, *LIBRARIES))
        return BuildPlace(
            image=image, environment={"UNPACKER": target.distro.interpreters[0].executable}
        )
    triplet = DEBIAN_TRIPLETS[target.arch]
    python, packages = _python_of_release(target), [f"gcc-{triplet.replace('_', '-')}", "gcc", "make"]
    packages += python.packages if python is not None else ()
    image = root(host_arch(), tuple(packages))
    program = python.executable if python is not None else ""
    if python is None:
        added = native(replace(target, arch=host_arch()))
        image, program = replace(image, added=added), f"{added.prefix}/bin/python3"
    sysroot = folder / _SYSROOT
    _copy_sysroot(root(target.arch, LIBRARIES), engine, sysroot)
    inside = INSIDE / _SYSROOT
    environment = {"UNPACKER": program, "TRIPLET": triplet, "SYSROOT": str(inside)}
    return BuildPlace(
        image=image, mounts=(Mount(source=sysroot, target=inside),), environment=environment
    )


def check_place(target: Target) -> None:
    """Raise ToolchainError where CPython cannot be compiled for a target on this machine."""
    own = host_arch()
    if emulation_of(target.arch).emulated and own not in target.distro.architectures:
        raise ToolchainError(
            f"CPython is not compiled for {target.arch} on {target.distro.id}",
            why=f"its cross compiler runs in a root of {own}, which {target.distro.id} has not",
        )


def _python_of_release(target: Target) -> Interpreter | None:
    """The distro's own Python that can help to build: of the same release, with or without the GIL."""
    wanted = target.interpreter.version
    for interpreter in target.distro.interpreters:
        version = interpreter.version
        same = version.implementation is Implementation.CPYTHON and version.release == wanted.release
        if same and host_arch() in target.distro.architectures:
            return interpreter
    return None


def _copy_sysroot(image: Image, engine: Engine, archive: Path) -> None:
    """Pack the headers and libraries of a root; raises ToolchainError and the engine's errors."""
    command = Command(argv=("sh", "-c", _COPY), timeout=allowed_time(_COPY_TIMEOUT, image.arch))
    with engine.open(SandboxSpec(image=image, limits=ROOM, label="copying its libraries")) as sandbox:
        done = sandbox.exec(command)
        if not done.ok:
            raise ToolchainError("the libraries of a root could not be copied", why=done.reason())
        sandbox.copy_out(SCRATCH / _SYSROOT, archive)
