"""The tags of wheels that an interpreter on a machine can install (PEP 425, PEP 600, PEP 656)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import Interpreter, Target
from pytest_manylinux.model.policy import Libc, LibcKind, Policy
from pytest_manylinux.model.python import Implementation, PythonVersion, parse_python

# The first musl policy of all; packaging counts down to it (packaging/_musllinux.py).
_OLDEST_MUSL = (1, 0)
_INTERPRETER = re.compile(r"(?:cp|pp|graalpy)\d\d+")
# The oldest glibc that any policy speaks of, per architecture: PEP 513 and PEP 571 know x86_64 and
# i686 only, every other architecture begins with PEP 599.
_FLOORS = {"x86_64": (2, 5), "i686": (2, 5)}
_OTHER_FLOOR = (2, 17)
# Where auditwheel's rules begin later (policy/manylinux-policy.json): the port is younger than PEP 599.
_FIRST_RULES = {"riscv64": (2, 31), "loongarch64": (2, 36)}


def oldest_glibc(arch: str) -> tuple[int, int]:
    """The glibc of the oldest policy that is defined on an architecture."""
    return _FLOORS.get(arch, _OTHER_FLOOR)


def oldest_policy(kind: LibcKind, arch: str) -> Policy:
    """The oldest policy that is defined for a C library on an architecture."""
    version = oldest_glibc(arch) if kind is LibcKind.GLIBC else _OLDEST_MUSL
    return Policy(version, kind)


def oldest_built(kind: LibcKind, arch: str) -> Policy:
    """The oldest policy that wheels are built for: auditwheel has no rules for older ones."""
    oldest = oldest_policy(kind, arch)
    return Policy(_FIRST_RULES.get(arch, oldest.version)) if kind is LibcKind.GLIBC else oldest


def platform_tags(libc: Libc, arch: str) -> tuple[str, ...]:
    """Platform tags that a machine with this C library supports, newest first (PEP 600, PEP 656).

    `linux_ARCH` comes last: pip takes it, an index does not. Which of several wheels an installer takes
    is not told by the order: packaging 26.3, and pip with it, puts `linux_ARCH` first.
    """
    major, minor = libc.version[:2]
    floor = oldest_policy(libc.kind, arch).version
    minors = range(minor, floor[1] - 1, -1) if major == floor[0] else ()
    perennial = (Policy((major, number), libc.kind) for number in minors)
    return (*chain.from_iterable(p.platform_tags(arch) for p in perennial), f"linux_{arch}")


def python_of_tag(tag: Tag) -> PythonVersion | None:
    """The Python that a tag is for, as far as it tells; the oldest for the stable ABI."""
    match = _INTERPRETER.fullmatch(tag.interpreter)
    if match is None:
        return None
    threads = "t" if tag.abi in {"abi3t", f"{tag.interpreter}t"} else ""
    try:
        return parse_python(tag.interpreter + threads)
    except UsageError:  # a name that breaks the rules
        return parse_python(tag.interpreter)


def asking(tags: Collection[Tag], interpreter: Interpreter) -> Collection[Tag]:
    """Those of a wheel's tags by which it is tried with a Python: all, or those that name it."""
    if not interpreter.only_named:
        return tags
    return [tag for tag in tags if tag.interpreter == interpreter.version.tag]


def supported_tags(target: Target) -> frozenset[Tag]:
    """All tags that the target's interpreter can install, by the specification (PEP 425)."""
    interpreter = target.interpreter
    return installable_tags(interpreter.version, target.distro.libc, target.arch, interpreter.own_abi)


@lru_cache(maxsize=256)  # asked for each wheel and target, and the targets are few
def installable_tags(python: PythonVersion, libc: Libc, arch: str, abi: str) -> frozenset[Tag]:
    """All tags that a Python on a machine with this C library can install (PEP 425, 703, 803).

    `abi` is that of the Python's own extension modules.
    """
    return python_tags(python, abi, platform_tags(libc, arch))


def python_tags(python: PythonVersion, abi: str, platforms: Sequence[str]) -> frozenset[Tag]:
    """All tags that a Python whose extension modules have this ABI tag takes on these platforms."""
    if python.implementation is Implementation.CPYTHON:
        own = cpython_tags(python_version=python.release, abis=[abi], platforms=platforms)
    else:
        own = generic_tags(interpreter=python.tag, abis=[abi], platforms=platforms)
    shared = compatible_tags(python_version=python.release, interpreter=python.tag, platforms=platforms)
    return frozenset(chain(own, shared))
