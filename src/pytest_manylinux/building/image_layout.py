"""What a builder image of the manylinux layout has: seen inside it, never assumed.

The layout (pypa/manylinux, README "Docker images"): interpreters in `/opt/python/PYTHONTAG-ABITAG`,
`auditwheel` and `patchelf` on PATH, a compiler on PATH, and an environment that all of it counts on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pytest_manylinux.engines.api import Command, Completed, Engine, Sandbox, SandboxSpec
from pytest_manylinux.errors import DeadImageError, ToolchainError
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
_MANAGERS = ("dnf", "microdnf", "yum", "apk", "apt-get")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A builder image as it was found. `pythons` are the names of folders in `/opt/python`.

    `prefix` is what every command starts with (`linux32` where the wheel is for a 32-bit system).
    `environment` is the image's own. `policies` are those that its auditwheel repairs to, oldest
    first. `manager` is its package manager, as the catalogue names it; empty if it has none.
    """

    image: Image
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pythons: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    manager: str = ""

    def python(self, version: PythonVersion) -> PurePosixPath | None:
        """The folder of an interpreter, such as `cp37-cp37m`; None if the image has none.

        Of Python 2 the one with wide characters is meant; debugging ones are never taken.
        """
        tag = version.tag
        if version.implementation is Implementation.PYPY:
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
            look = _Look(sandbox=sandbox, prefix=prefix, environment=_own_environment(sandbox))
            return _layout(look, image)
    except DeadImageError as error:
        error.remedy = f"{error.remedy}; or set builder = zig, which builds without that image"
        raise


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
    managers = look.at("sh", "-c", f"for m in {' '.join(_MANAGERS)}; do command -v $m; done; true")
    return Layout(
        image=image,
        prefix=look.prefix,
        environment=look.environment,
        pythons=pythons,
        policies=repairable_policies(repair.stdout.decode("utf-8", "replace"), image.arch),
        tools=tuple(_versions(look)),
        manager=_first_manager(managers.stdout.decode()),
    )


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
