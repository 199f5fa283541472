"""The builder `official`, and any image of the manylinux layout that is named as builder.

What an image has is seen inside it, never assumed. The layout (pypa/manylinux, README "Docker images"):
interpreters in `/opt/python/PYTHONTAG-ABITAG`, `auditwheel` and `patchelf` on PATH, a compiler on PATH,
and an environment that all of it counts on.

Symbols that the linker found nowhere are judged by the table that comes with zig, if zig was ever
fetched into the cache; else only versioned ones are, and the trials' loaders see the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.version import InvalidVersion, Version

from pytest_manylinux.building.api import (
    APART,
    BYTECODE,
    CACHES,
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    BuildRequest,
    KnownFailure,
    Pip,
    Say,
    Toolchain,
)
from pytest_manylinux.building.compiler import TARGETS, known_symbols
from pytest_manylinux.building.image_bytecode import prepare_bytecode, with_bytecode
from pytest_manylinux.building.missing_from_python import OLD_C_API, UNDECLARED_MODULE
from pytest_manylinux.building.newer_libc import LIBC_FAILURES
from pytest_manylinux.cache.values import key_of
from pytest_manylinux.engines.api import Command, Completed, Engine, Sandbox, SandboxSpec
from pytest_manylinux.errors import DeadImageError, SandboxError, ToolchainError
from pytest_manylinux.images.root_provision import signal_of_true
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import Policy, policy_of_platform_tag
from pytest_manylinux.model.python import Implementation, PythonVersion

PYTHONS = PurePosixPath("/opt/python")
_TIMEOUT = 120.0
# The sandbox's own affair, and what container engines put there for themselves.
_NOT_THE_IMAGES = frozenset(
    {"HOME", "HOSTNAME", "PWD", "OLDPWD", "SHLVL", "TERM", "TMPDIR", "_", "container"}
)
_PLATFORM = re.compile(r"manylinux\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)+")
# What auditwheel, patchelf and the C compiler say of their versions.
_TOOLS = (
    ("auditwheel", ("auditwheel", "--version")),
    ("patchelf", ("patchelf", "--version")),
    ("cc", ("cc", "--version")),
)
# Interpreter, its full version, its pip's version and folder, a tab between each two. pip is not
# imported: an image's modules have no bytecode, and that would take a second for each Python.
_ASK = """
import importlib.util, os, platform, re, sys
pip = importlib.util.find_spec("pip").origin
version = re.search("__version__ = .([^'\\"]+)", open(pip).read()).group(1)
print("\\t".join([sys.argv[1], platform.python_version(), version, os.path.dirname(pip)]))
"""
_ASK_ALL = f'for p in {PYTHONS}/*/bin/python; do "$p" -c "$1" "$p"; done; true'
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMPILERS = "compilers"
_TAKES_PYTHON = Version("22.3")
"""pip's option `--python` came with this release (its changelog)."""
_MANAGERS = ("dnf", "microdnf", "yum", "apk", "apt-get")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePython:
    """An interpreter of an image by its folder's name, with the versions of itself and of its pip."""

    name: str
    version: str
    pip: str
    pip_folder: str

    def pip_command(self) -> Pip:
        """Its pip, as it installs into the build's environment."""
        if Version(self.pip) >= _TAKES_PYTHON:
            own = str(PYTHONS / self.name / "bin/python")
            return Pip(command=(own, "-I", "-m", "pip", "--python", ENVIRONMENT_PYTHON))
        return Pip(command=(ENVIRONMENT_PYTHON, self.pip_folder), looks_away=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A builder image as it was found. `pythons` are the names of folders in `/opt/python`.

    `with_pip` are those of them whose pip is known.
    `prefix` is what every command starts with (`linux32` where the wheel is for a 32-bit system).
    `environment` is the image's own. `policies` are those that its auditwheel repairs to, oldest
    first. `manager` is its package manager, as the catalogue names it; empty if it has none.
    """

    image: Image
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pythons: tuple[str, ...] = ()
    with_pip: tuple[ImagePython, ...] = ()
    policies: tuple[Policy, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    manager: str = ""

    def python(self, version: PythonVersion) -> PurePosixPath | None:
        """The folder of an interpreter, such as `cp37-cp37m`; None if the image has none.

        Of Python 2 the one with wide characters is meant; debugging ones are never taken.
        """
        tag = version.tag
        if version.implementation is not Implementation.CPYTHON:
            return next((PYTHONS / name for name in self.pythons if name.startswith(f"{tag}-")), None)
        usual = (f"{tag}-{version.id}", f"{tag}-{tag}m", f"{tag}-{tag}mu")
        wanted = usual[:1] if version.free_threaded else usual
        return next((PYTHONS / name for name in wanted if name in self.pythons), None)


def read_layout(image: Image, engine: Engine, *, prefix: tuple[str, ...] = ()) -> Layout:
    """Look into an image.

    Raises DeadImageError where no command runs in it on this machine, ToolchainError where it has
    no Python in /opt/python or no auditwheel, and what the engine raises.
    """
    try:
        with engine.open(SandboxSpec(image=image, label="survey of a builder image")) as sandbox:
            own = dict(image.environment) or _own_environment(sandbox)
            look = _Look(sandbox=sandbox, prefix=prefix, environment=own)
            return _layout(look, image)
    except SandboxError as error:
        dead = _dead(error, image)
        if dead is None:
            raise
        dead.remedy = f"{dead.remedy}; or set builder = zig, which builds without that image"
        raise dead from error


def _dead(error: SandboxError, image: Image) -> DeadImageError | None:
    """The error for an image in which no command runs; None if that is not why no sandbox started.

    A container engine says it itself. In a root in a folder `/bin/true` is tried.
    """
    if isinstance(error, DeadImageError) or image.root is None:
        return error if isinstance(error, DeadImageError) else None
    number = signal_of_true(Path(image.root))
    if not number:
        return None
    from pytest_manylinux.engines.container.dead_image import dead_image, has_vsyscall  # noqa: PLC0415 - needs the Docker SDK

    return dead_image(image.name, number, vsyscall=has_vsyscall())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    sandbox: Sandbox
    prefix: tuple[str, ...]
    environment: Mapping[str, str]

    def at(self, *argv: str) -> Completed:
        """Run a command as a build would."""
        command = Command(
            argv=(*self.prefix, *argv),
            environment=self.environment,
            cwd=PurePosixPath("/"),
            timeout=_TIMEOUT,
        )
        return self.sandbox.exec(command)


def _layout(look: _Look, image: Image) -> Layout:
    listed = look.at("sh", "-c", f"ls -d {PYTHONS}/*/bin/python")
    pythons = tuple(PurePosixPath(line).parts[3] for line in listed.stdout.decode().splitlines())
    repair = look.at("auditwheel", "repair", "--help")
    lacking = [f"no Python in {PYTHONS}"] * (not pythons) + ["no auditwheel"] * (not repair.ok)
    if lacking:
        raise ToolchainError(
            f"image {image.name} is no builder of the manylinux layout",
            why=f"it has {' and '.join(lacking)}",
            remedy="name an image of that layout as builder, or set builder = zig",
        )
    pips = look.at("sh", "-c", _ASK_ALL, "sh", _ASK)
    managers = look.at("sh", "-c", f"for m in {' '.join(_MANAGERS)}; do command -v $m; done; true")
    return Layout(
        image=image,
        prefix=look.prefix,
        environment=look.environment,
        pythons=pythons,
        with_pip=tuple(_with_pip(pips.stdout.decode("utf-8", "replace"))),
        policies=repairable_policies(repair.stdout.decode("utf-8", "replace"), image.arch),
        tools=tuple(_versions(look)),
        manager=_first_manager(managers.stdout.decode()),
    )


def _with_pip(answers: str) -> Iterator[ImagePython]:
    for line in answers.splitlines():
        words = line.split("\t")
        try:
            python, version, pip, folder = words
            Version(pip)
        except (ValueError, InvalidVersion):
            continue  # something else that an interpreter printed
        name = PurePosixPath(python).parent.parent.name
        yield ImagePython(name=name, version=version, pip=pip, pip_folder=folder)


def repairable_policies(help_text: str, arch: str) -> tuple[Policy, ...]:
    """The policies in what `auditwheel repair --help` says, oldest first.

    All releases name the platforms there (as choices of --plat, later in a list of their own); that
    list as JSON came with release 6 only.
    """
    found = (policy_of_platform_tag(word) for word in _PLATFORM.findall(help_text))
    return tuple(sorted({entry[0] for entry in found if entry is not None and entry[1] == arch}))


def _own_environment(sandbox: Sandbox) -> dict[str, str]:
    """The image's own variables: those that a container engine starts its first process with."""
    done = sandbox.exec(Command(argv=("cat", "/proc/1/environ"), timeout=_TIMEOUT))
    pairs = (entry.partition("=") for entry in done.stdout.decode("utf-8", "replace").split("\0"))
    return {name: value for name, _, value in pairs if name and name not in _NOT_THE_IMAGES}


def _versions(look: _Look) -> Iterator[tuple[str, str]]:
    for name, argv in _TOOLS:
        done = look.at(*argv)
        if done.ok and (
            match := _NUMBER.search((done.stdout + done.stderr).decode("utf-8", "replace"))
        ):
            yield name, match[0]


def _first_manager(listing: str) -> str:
    found = {PurePosixPath(line).name for line in listing.splitlines()}
    name = next((name for name in _MANAGERS if name in found), "")
    return "apt" if name == "apt-get" else name


_KNOWN_FAILURES = (
    KnownFailure(  # GCC 4.8 in manylinux1's image and its kin
        pattern=re.compile(r"unrecognized command line option \W?-std=(?:c|gnu)\+\+(?:17|1z|20|2a|23)"),
        what="its C++ is too new for the compiler of this policy's image",
        feature="C++17",
        since=(2, 17),
    ),
    UNDECLARED_MODULE,
    OLD_C_API,
    *LIBC_FAILURES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageToolchain:
    """Makes the toolchain of builds in an image: its own tools."""

    layout: Layout

    def __call__(
        self, request: BuildRequest, engine: Engine, _index: IndexAccess, _say: Say
    ) -> Toolchain:
        """Raises ToolchainError where the image lacks the Python, its pip or the policy."""
        folder = python_in(self.layout, request)
        own = next((one for one in self.layout.with_pip if one.name == folder.name), None)
        if own is None:
            raise ToolchainError(
                f"{request.python} of image {self.layout.image.name} has no pip that says its version",
                remedy="set builder = zig, or name another image as builder",
            )
        path, interpreter = self.layout.environment.get("PATH", _PATH), str(folder / "bin/python")
        target = TARGETS.get(request.arch)
        # without the project's PATH, on which another auditwheel may be
        plain = {**self.layout.environment, "PATH": path}
        bytecode = prepare_bytecode(request, self.layout.image, interpreter, plain, engine)
        toolchain = Toolchain(
            policy=_repairable(self.layout, request.policy),
            policies=self.layout.policies,
            versions=(*self.layout.tools, ("python", own.version), ("pip", own.pip)),
            prefix=self.layout.prefix,
            python=interpreter,
            tools_python=interpreter,
            pip=own.pip_command(),
            environment={
                **self.layout.environment,
                "PATH": f"{ENVIRONMENT}/bin:{folder}/bin:{path}",
                "PYTHONPYCACHEPREFIX": str(BYTECODE),
                **_compiler_caches(CACHES),
            },
            cache_environment=_compiler_caches(APART),
            # a compiler's cache is good for no other compiler
            caches=((f"compilers-{key_of(self.layout.image.content)[:16]}", CACHES / _COMPILERS),),
            auditwheel_environment=plain,
            auditwheel_name=f"auditwheel of {self.layout.image.name}",
            symbols=known_symbols(request.cache) if target else None,
            target=target.triple if target else "",
            known_failures=_KNOWN_FAILURES,
        )
        return with_bytecode(toolchain, bytecode)


def _compiler_caches(folder: PurePosixPath) -> dict[str, str]:
    """Where ccache and zig keep what they compiled, if the image's compilers are these."""
    names = ("CCACHE_DIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    return {name: str(folder / _COMPILERS / name.partition("_")[0].lower()) for name in names}


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
