"""The builder `zig`: a toolchain for any Debian root that has the wanted Python's headers.

The traps that zig brings are met in inside/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_manylinux.building.api import BuildRequest, Say
from pytest_manylinux.building.build_tools import KIT, BuildTools, prepare_kit
from pytest_manylinux.building.compiler import (
    CXX17_SINCE,
    edition,
    symbol_table,
    target_of,
    warm_folder,
    warm_up,
)
from pytest_manylinux.building.pipeline import Pipeline
from pytest_manylinux.building.toolchain import (
    CACHES,
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    INSIDE,
    KnownFailure,
    Pip,
    Toolchain,
)
from pytest_manylinux.engines.api import SCRATCH, Engine, Mount
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.policy import Policy

_TOOLCHAIN = SCRATCH / "toolchain"
_KNOWN_FAILURES = (
    KnownFailure(
        pattern=re.compile(
            r"setuptools[-_]scm was unable to detect version|vcs_versioning.*LookupError"
        ),
        remedy='name "git" in build-packages: it reads its version from git',
    ),
    KnownFailure(
        pattern=re.compile(
            r"align_val_t|aligned (?:de)?allocation function|no member named 'aligned_alloc'"
        ),
        what="its C++ is too new for this policy",
        feature="aligned new (std::align_val_t, C++17)",
        since=CXX17_SINCE,
    ),
    # zig's headers hide what the policy's glibc does not offer, and its linker does not find it.
    KnownFailure(
        pattern=re.compile(
            r"(?:undeclared (?:function|identifier) '|undefined symbol: |no member named ')(\w+)"
        ),
        what="it needs a newer glibc than this policy promises",
    ),
)


def zig_builder() -> Pipeline:
    """The builder for Debian roots; see `api.Builder`."""
    return Pipeline(name="zig", toolchain=zig_toolchain)


def zig_toolchain(request: BuildRequest, engine: Engine, index: IndexAccess, say: Say) -> Toolchain:
    """Compiler and tools for one build, fetched if need be; raises UsageError for its architecture."""
    target = target_of(request.arch)
    python = f"python{request.python.dotted}"
    kit = prepare_kit(request.cache, request.plain or request.image, python, engine, index, say=say)
    policy = repairable(request.policy, kit)
    its_index = index if request.network else index.offline()
    cache, arch = request.cache, request.arch
    return Toolchain(
        policy=policy,
        policies=kit.policies,
        versions=kit.versions,
        python=python,
        tools_python=kit.python,
        elf_tools=True,
        pip=Pip(command=(kit.python, "-I", "-m", "pip", "--python", ENVIRONMENT_PYTHON)),
        environment=build_environment(request.arch, its_index),
        set_up=("sh", str(INSIDE / "set_up.sh")),
        set_up_environment={
            **target.set_up_environment(policy, KIT / "zig/zig"),
            "PYTHON": python,
            "PACKAGES": " ".join(request.build_packages),
        },
        mounts=(*kit.mounts, Mount(source=warm_folder(cache), target=KIT / "warm")),
        caches=((f"zig-{edition(cache)}", CACHES / "zig"),),
        auditwheel=(kit.python, "-m", "auditwheel"),
        auditwheel_environment={"PATH": f"{kit.path}:/usr/local/bin:/usr/bin:/bin"},
        library_remedy="name the Debian package that has it in build-packages, "
        "or let before-build make it",
        symbols=symbol_table(kit.zig),
        target=target.triple,
        exports=kit.exports,
        known_failures=_KNOWN_FAILURES,
        before_cxx=lambda: warm_up(kit.zig, cache, policy, arch, cxx=True),
    )


def repairable(wanted: Policy, kit: BuildTools) -> Policy:
    """The newest policy not above the wanted one that auditwheel repairs to.

    PEP 600 allows any manylinux_X_Y; auditwheel knows those that some distro stands behind. A wheel
    for the next lower one keeps the wanted one's promise too.
    """
    return max((known for known in kit.policies if known <= wanted), default=wanted)


def build_environment(arch: str, index: IndexAccess) -> Mapping[str, str]:
    """What a project's own code sees of the toolchain.

    Old and new setuptools, CMake, Meson and make each find the tools in one of these ways: the
    usual variables, or the usual names first on PATH. Proxies and the CA bundle are for all; where the
    index is, and its password, is for pip.
    """
    tools = _TOOLCHAIN / "bin"
    network = {name: value for name, value in index.environment.items() if not name.startswith("PIP_")}
    return {
        **network,
        "PATH": f"{tools}:{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
        "CC": str(tools / "cc"),
        "CXX": str(tools / "c++"),
        "LDSHARED": f"{tools / 'cc'} -shared",
        "LDCXXSHARED": f"{tools / 'c++'} -shared",
        "AR": str(tools / "ar"),
        "RANLIB": str(tools / "ranlib"),
        "STRIP": str(tools / "strip"),
        "ZIG_GLOBAL_CACHE_DIR": str(CACHES / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(CACHES / "zig"),
        # roots of i686 run on x86_64 kernels, which Python would believe
        **({"_PYTHON_HOST_PLATFORM": "linux-i686"} if arch == "i686" else {}),
    }
