"""C libraries, and the policies that promise one: names, aliases, versions.

Sources: PEP 513 (manylinux1 = glibc 2.5), PEP 571 (manylinux2010 = 2.12), PEP 599
(manylinux2014 = 2.17), PEP 600 (manylinux_X_Y, of which the older names are aliases) and PEP 656
(musllinux_X_Y).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache

from pytest_manylinux.errors import UsageError, nearest

ALIASES: dict[str, tuple[int, int]] = {
    "manylinux1": (2, 5),
    "manylinux2010": (2, 12),
    "manylinux2014": (2, 17),
}
# Installers write the numbers plainly and compare text: manylinux_02_17 is a tag that none of them has.
# They count down from the glibc at hand to 2.0 at most, so that manylinux_1_0 is none either.
_PERENNIAL = re.compile(r"manylinux_(?P<major>[2-9]|[1-9]\d{1,5})_(?P<minor>0|[1-9]\d{0,5})")


_MUSLLINUX = re.compile(r"musllinux_(?P<major>[1-9]\d{0,5})_(?P<minor>0|[1-9]\d{0,5})")


class LibcKind(str, enum.Enum):
    """A C library of Linux."""

    GLIBC = "glibc"
    MUSL = "musl"

    @property
    def policies(self) -> str:
        """What the names of policies that promise it begin with."""
        return "manylinux" if self is LibcKind.GLIBC else "musllinux"


@dataclass(frozen=True, slots=True, order=True)
class Libc:
    """A C library and its version: `glibc 2.36`, `musl 1.2.5`. Of one kind they order by version."""

    kind: LibcKind
    version: tuple[int, ...]

    @property
    def number(self) -> str:
        """The version as text: `2.36`."""
        return ".".join(map(str, self.version))

    def __str__(self) -> str:
        """Kind and version: `musl 1.2.5`."""
        return f"{self.kind.value} {self.number}"

    def is_glibc(self, since: tuple[int, ...] = ()) -> bool:
        """Whether it is glibc, of the version `since` or newer."""
        return self.kind is LibcKind.GLIBC and self.version >= since

    def is_musl(self, since: tuple[int, ...] = ()) -> bool:
        """Whether it is musl, of the version `since` or newer."""
        return self.kind is LibcKind.MUSL and self.version >= since

    def keeps(self, policy: Policy) -> bool:
        """Whether a wheel of that policy finds the C library that it was promised."""
        return self.kind is policy.kind and self.version >= policy.version


def glibc(*version: int) -> Libc:
    """The glibc of a version: `glibc(2, 36)`."""
    return Libc(LibcKind.GLIBC, version)


def musl(*version: int) -> Libc:
    """The musl of a version: `musl(1, 2, 5)`."""
    return Libc(LibcKind.MUSL, version)


@dataclass(frozen=True, slots=True, order=True)
class Policy:
    """One policy; policies of one C library order by its version, the oldest (strictest) first."""

    version: tuple[int, int]
    kind: LibcKind = LibcKind.GLIBC

    @property
    def libc(self) -> Libc:
        """The oldest C library that its wheels work with."""
        return Libc(self.kind, self.version)

    @property
    def name(self) -> str:
        """The name of PEP 600 or PEP 656, such as `manylinux_2_17` or `musllinux_1_2`."""
        return f"{self.kind.policies}_{self.version[0]}_{self.version[1]}"

    @property
    def alias(self) -> str | None:
        """The legacy alias, such as `manylinux2014`, if there is one."""
        if self.kind is not LibcKind.GLIBC:
            return None
        return next((alias for alias, version in ALIASES.items() if version == self.version), None)

    def __str__(self) -> str:
        """The name that people use: the alias where there is one."""
        return self.alias or self.name

    def platform_tags(self, arch: str) -> tuple[str, ...]:
        """All platform tags that mean this policy on `arch`, the perennial one first."""
        names = (self.name,) if self.alias is None else (self.name, self.alias)
        return tuple(f"{name}_{arch}" for name in names)


AUTO_POLICY = "auto"
AUTO_NAME = "manylinux_auto"
"""In identifiers of builds, which are older than the policy that `auto` comes to."""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """The policy to build for. With `auto` it is the first that is tried."""

    policy: Policy
    auto: bool = False

    @property
    def kind(self) -> LibcKind:
        """The C library that wheels are built for."""
        return self.policy.kind

    @property
    def name(self) -> str:
        """In identifiers of builds."""
        return AUTO_NAME if self.auto else str(self.policy)

    def __str__(self) -> str:
        """As it is written in settings."""
        return AUTO_POLICY if self.auto else str(self.policy)


def parse_policy_choice(text: str, *, where: str = "") -> PolicyChoice:
    """Read `auto`, which begins with manylinux1, or a policy. Raises UsageError."""
    if text.strip() == AUTO_POLICY:
        return PolicyChoice(Policy(ALIASES["manylinux1"]), auto=True)
    return PolicyChoice(parse_policy(text, where=where, also=AUTO_POLICY))


def parse_policy(text: str, *, where: str = "", also: str = "") -> Policy:
    """Read a policy from any of its names; `also` is a word that may stand in its place.

    Raises UsageError, with the nearest right word, for anything else. `where` names the setting.
    """
    word = text.strip()
    if word in ALIASES:
        return Policy(ALIASES[word])
    if policy := _by_name(word):
        return policy
    hint = nearest(word, [*_LIKELY, *filter(None, [also])])
    raise UsageError(
        f"{where + ': ' if where else ''}{text!r} is not a policy",
        remedy=f"{hint}use {also and also + ', '}manylinux1, manylinux2010, manylinux2014, "
        "manylinux_X_Y or musllinux_X_Y",
    )


_LIKELY = (*ALIASES, "manylinux_2_28", "manylinux_2_34", "musllinux_1_1", "musllinux_1_2")


def _by_name(word: str) -> Policy | None:
    """The policy that a perennial name stands for."""
    for kind, pattern in ((LibcKind.GLIBC, _PERENNIAL), (LibcKind.MUSL, _MUSLLINUX)):
        if match := pattern.fullmatch(word):
            return Policy((int(match["major"]), int(match["minor"])), kind)
    return None


@lru_cache(maxsize=1024)
def policy_of_platform_tag(platform: str) -> tuple[Policy, str] | None:
    """Split a platform tag such as `manylinux_2_17_x86_64` into policy and architecture.

    None for platform tags of another kind (`linux_x86_64`, `macosx_11_0_arm64`, `any`).
    """
    for alias, version in ALIASES.items():
        if platform.startswith(f"{alias}_"):
            return Policy(version), platform.removeprefix(f"{alias}_")
    if match := _NAME_AND_ARCH.fullmatch(platform):
        policy = _by_name(match["name"])
        return None if policy is None else (policy, match["arch"])
    return None


_NAME_AND_ARCH = re.compile(r"(?P<name>(?:manylinux|musllinux)_\d+_\d+)_(?P<arch>\w+)")
