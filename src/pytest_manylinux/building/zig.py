"""The zig toolchain as a build sees it: names of targets, folders, environment.

zig links against the symbol versions of any glibc on any root, so a wheel for an old policy can be
built for a Python that the policy's own image never had. The traps it brings are met in inside/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.glibc_symbols import Version
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.policy import Policy

VERSION = "0.17.1"
"""The zig that builds are made with: exactly one, so that the same source gives the same bytes."""

SCRATCH = PurePosixPath("/scratch")
SOURCE = SCRATCH / "source"
ENVIRONMENT = SCRATCH / "env"
TOOLCHAIN = SCRATCH / "toolchain"
KIT = SCRATCH / "kit"
CACHES = SCRATCH / "cache"
INSIDE = KIT / "inside"
"""Where inside/ of this room is seen in a sandbox."""
INSIDE_SOURCE = Path(__file__).parent / "inside"

CXX17_SINCE: Version = (2, 16)
"""zig's libc++ has aligned new (std::align_val_t) from the glibc on that has aligned_alloc."""
_FORWARD_BELOW: Version = (2, 7)  # __isoc99_sscanf and its kin; see inside/forward.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An architecture in zig's words and in Debian's (its folders of libraries and headers)."""

    zig: str
    triplet: str


_MACHINES = {
    "x86_64": Machine(zig="x86_64-linux-gnu", triplet="x86_64-linux-gnu"),
    "i686": Machine(zig="x86-linux-gnu", triplet="i386-linux-gnu"),
    "aarch64": Machine(zig="aarch64-linux-gnu", triplet="aarch64-linux-gnu"),
    "armv7l": Machine(zig="arm-linux-gnueabihf", triplet="arm-linux-gnueabihf"),
    "ppc64le": Machine(zig="powerpc64le-linux-gnu", triplet="powerpc64le-linux-gnu"),
    "riscv64": Machine(zig="riscv64-linux-gnu", triplet="riscv64-linux-gnu"),
    "s390x": Machine(zig="s390x-linux-gnu", triplet="s390x-linux-gnu"),
}


def machine(arch: str) -> Machine:
    """The machine of a platform tag's architecture; raises UsageError where zig builds for none."""
    if arch not in _MACHINES:
        raise UsageError(
            f"the builder zig makes no wheels for {arch}",
            remedy=f"it does for {', '.join(_MACHINES)}",
        )
    return _MACHINES[arch]


def set_up_environment(
    policy: Policy, arch: str, python: str, packages: tuple[str, ...]
) -> dict[str, str]:
    """What inside/set_up.sh asks for. `python` is such as `python3.11`."""
    here = machine(arch)
    major, minor = policy.glibc
    return {
        "ZIG": str(KIT / "zig/zig"),
        "TARGET": f"{here.zig}.{major}.{minor}",
        "TRIPLET": here.triplet,
        "PYTHON": python,
        "PACKAGES": " ".join(packages),
        "FORWARD": "yes" if policy.glibc < _FORWARD_BELOW else "no",
    }


def build_environment(arch: str, epoch: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of everything that a project runs.

    Old and new setuptools, CMake, Meson and make each find the tools in one of these ways: the
    usual variables, or the usual names first on PATH. What `inherited` names stays.
    """
    tools = TOOLCHAIN / "bin"
    environment = {
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
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "VIRTUAL_ENV": str(ENVIRONMENT),
        # git's own check of owners sees the sandbox's user, who owns nothing of the host
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    if arch == "i686":  # its roots run on x86_64 kernels, which Python would believe
        environment["_PYTHON_HOST_PLATFORM"] = "linux-i686"
    return {**inherited, **environment}
