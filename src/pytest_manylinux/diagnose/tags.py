"""Why a target takes a wheel's tags, or does not."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from pytest_manylinux.model.distro import Interpreter, Target
from pytest_manylinux.model.policy import ALIASES, policy_of_platform_tag
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.model.wheel_tags import oldest_policy, python_tags

# The first pip that knows each kind of platform tag: pip's changelog; the same table is in the
# manylinux project's README.
FIRST_PIP = {"manylinux1": "8.1", "manylinux2010": "19.0", "manylinux2014": "19.3"}
FIRST_PIP_PERENNIAL = "20.3"
# pip 21.2 came with packaging 21.0, the first that knows PEP 656.
FIRST_PIP_MUSL = "21.2"
# pip 24.1 came with packaging 24.1; before packaging 23.2 no manylinux tag was made for these.
FIRST_PIP_OF_ARCH = {"riscv64": "24.1", "loongarch64": "24.1"}

# Platform tags of no policy that PyPI takes (warehouse/forklift/legacy.py).
_TAKEN = frozenset({"linux_armv6l", "linux_armv7l"})


class Misfit(enum.Enum):
    """Why a tag does not fit a target, in the order in which it is told: the nearest miss last."""

    ARCHITECTURE = "architecture"
    PYTHON = "python"
    LIBC = "libc"
    """A C library of the other kind."""
    LIBC_VERSION = "libc-version"
    """A newer version of the distro's C library."""
    PIP = "pip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a set of tags fits: `misfit` is None if one of them does; `tag` is the nearest."""

    misfit: Misfit | None
    tag: Tag


_DISTANCE = {
    Misfit.ARCHITECTURE: 5,
    Misfit.PYTHON: 4,
    Misfit.LIBC: 3,
    Misfit.LIBC_VERSION: 2,
    Misfit.PIP: 1,
}


def is_plain_linux(facts: WheelFacts) -> bool:
    """Whether native code is under names alone that say nothing of the glibc, and that PyPI refuses."""
    plain = {name for name in facts.wheel.platforms if name.startswith("linux_")}
    return bool(facts.elf and plain - _TAKEN) and len(plain) == len(facts.wheel.platforms)


def best_fit(tags: frozenset[Tag], target: Target) -> Fit:
    """The tag that fits best, and what it lacks. `tags` is never empty."""
    fits = (Fit(misfit=misfit_of(tag, target), tag=tag) for tag in _sorted(tags))
    return min(fits, key=lambda fit: 0 if fit.misfit is None else _DISTANCE[fit.misfit])


@lru_cache(maxsize=64)
def _sorted(tags: frozenset[Tag]) -> tuple[Tag, ...]:
    return tuple(sorted(tags, key=str))


def misfit_of(tag: Tag, target: Target) -> Misfit | None:
    """What keeps the target from taking this tag (PEP 425, PEP 600, PEP 656); None if nothing does."""
    policy = policy_of_platform_tag(tag.platform)
    unknown = is_unknown(tag.platform)
    if tag.platform != "any" and not tag.platform.endswith(f"_{target.arch}"):
        return Misfit.ARCHITECTURE
    if policy is None and not unknown and tag.platform not in {"any", f"linux_{target.arch}"}:
        return Misfit.ARCHITECTURE
    if not fits_python(tag, target.interpreter):
        return Misfit.PYTHON
    if tag.platform == "any" and tag.abi != "none":  # no installer makes such a tag
        return Misfit.PYTHON
    if policy is not None and not target.distro.libc.keeps(policy[0]):
        other = policy[0].kind is not target.distro.libc.kind
        return Misfit.LIBC if other else Misfit.LIBC_VERSION
    pip = target.distro.pip_of(target.interpreter)
    return Misfit.PIP if unknown or (pip and not pip_knows(pip, tag.platform)) else None


def is_unknown(platform: str) -> bool:
    """Whether no pip knows a policy's tag: too old for its architecture, or written otherwise."""
    policy = policy_of_platform_tag(platform)
    if policy is None:
        return platform.startswith(("manylinux", "musllinux"))
    return policy[0] < oldest_policy(policy[0].kind, policy[1])


def fits_python(tag: Tag, interpreter: Interpreter) -> bool:
    """Whether an interpreter takes the tag's Python and ABI, on whatever platform."""
    return (tag.interpreter, tag.abi) in _pairs(interpreter.version, interpreter.own_abi)


@lru_cache(maxsize=64)
def _pairs(version: PythonVersion, abi: str) -> frozenset[tuple[str, str]]:
    tags = python_tags(version, abi, ("any",))
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def first_pip(platform: str) -> str:
    """The first pip that knows the platform tag; empty for tags that every pip knows."""
    arch = platform.rpartition("_")[2]
    if arch in FIRST_PIP_OF_ARCH and platform.startswith("manylinux"):
        return FIRST_PIP_OF_ARCH[arch]
    alias = next((alias for alias in ALIASES if platform.startswith(f"{alias}_")), None)
    if alias is not None:
        return FIRST_PIP[alias]
    if platform.startswith("musllinux_"):
        return FIRST_PIP_MUSL
    return FIRST_PIP_PERENNIAL if platform.startswith("manylinux_") else ""


@lru_cache(maxsize=1024)
def pip_knows(pip: str, platform: str) -> bool:
    """Whether a pip of this version knows the platform tag; an unreadable version knows all."""
    first = first_pip(platform)
    try:
        return not first or Version(pip) >= Version(first)
    except InvalidVersion:
        return True
