"""Names of distro packages, by each package manager's own grammar.

Names come from a project's settings and from catalogue rows, and end as arguments of programs that
run as root, apt on the host among them. So a name is a name: no option, path, address, pattern,
group, removal (`name-` of apt) or shell word gets through. `check_names` is called where a setting is
read and again where a manager's arguments are put together.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_manylinux.errors import UsageError


class PackageManager(enum.Enum):
    """The package managers that a row may name."""

    APT = "apt"
    APT_RPM = "apt-rpm"
    APK = "apk"
    DNF = "dnf"
    DNF5 = "dnf5"
    MICRODNF = "microdnf"
    PACMAN = "pacman"
    SLACKPKG = "slackpkg"
    TDNF = "tdnf"
    YUM = "yum"
    ZYPPER = "zypper"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grammar:
    pattern: re.Pattern[str]
    allowed: str


# Debian Policy 5.6.1 (names), 5.6.8 (architectures), 5.6.12 (versions). apt-get takes a final dash as
# "remove", a final plus is part of names such as g++. `name/suite` is left out: a root has one suite.
_DEB = _Grammar(
    pattern=re.compile(
        r"[a-z0-9][a-z0-9.+-]*[a-z0-9+]"
        r"(:[a-z0-9]+(-[a-z0-9]+)*)?"
        r"(=[0-9]([A-Za-z0-9.+~:-]*[A-Za-z0-9.+~])?)?"
    ),
    allowed="name, name:arch, name=version",
)
# rpm's build/parsePreamble.c says which characters names, versions and releases are made of. A name
# that ends in .rpm would be a file.
_RPM_VERSION = r"([0-9]+:)?[A-Za-z0-9][A-Za-z0-9._+~^-]*"
_RPM = _Grammar(
    pattern=re.compile(rf"(?!.*\.rpm\Z)[A-Za-z0-9_][A-Za-z0-9._+-]*(-{_RPM_VERSION})?"),
    allowed="name, name.arch, name-version, name-version-release.arch",
)
_ZYPPER = _Grammar(
    pattern=re.compile(rf"(?!.*\.rpm\Z)[A-Za-z0-9_][A-Za-z0-9._+-]*(={_RPM_VERSION})?"),
    allowed="name, name.arch, name=version",
)
_APT_RPM = _Grammar(
    pattern=re.compile(
        rf"(?!.*\.rpm\Z)[A-Za-z0-9_]([A-Za-z0-9._+-]*[A-Za-z0-9._+])?(={_RPM_VERSION})?(?<!-)"
    ),
    allowed="name, name=version",
)
# apk-package(5) and apk-world(5); an argument with .apk in it would be a file.
_APK = _Grammar(
    pattern=re.compile(r"(?!.*\.apk)[A-Za-z0-9_][A-Za-z0-9._+-]*([=~][0-9][A-Za-z0-9._-]*)?"),
    allowed="name, name=version, name~version",
)
# PKGBUILD(5): pkgname, pkgver (no hyphen) and pkgrel; a leading `@` means a group elsewhere.
_PACMAN = _Grammar(
    pattern=re.compile(r"[A-Za-z0-9_][A-Za-z0-9@._+-]*(=([0-9]+:)?[A-Za-z0-9._+]+(-[0-9.]+)?)?"),
    allowed="name, name=version",
)
_SLACKPKG = _Grammar(
    # slackpkg(8) takes any part of a file's name, and greps for it: dots and pluses are patterns there.
    pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*"),
    allowed="name",
)

_GRAMMARS = {
    PackageManager.APT: _DEB,
    PackageManager.APT_RPM: _APT_RPM,
    PackageManager.APK: _APK,
    PackageManager.DNF: _RPM,
    PackageManager.DNF5: _RPM,
    PackageManager.MICRODNF: _RPM,
    PackageManager.PACMAN: _PACMAN,
    PackageManager.SLACKPKG: _SLACKPKG,
    PackageManager.TDNF: _RPM,
    PackageManager.YUM: _RPM,
    PackageManager.ZYPPER: _ZYPPER,
}
_LONGEST = 256
"""Characters; Debian's longest names have about 80."""


def package_manager(name: str, *, where: str = "") -> PackageManager:
    """The manager of a row's name for it; raises UsageError."""
    try:
        return PackageManager(name)
    except ValueError:
        names = ", ".join(member.value for member in PackageManager)
        place = f"{where}: " if where else ""
        raise UsageError(
            f"{place}unsupported package manager: {name!r}", remedy=f"use one of {names}"
        ) from None


def check_names(
    names: Iterable[str], *, where: str, manager: PackageManager | None = None
) -> tuple[str, ...]:
    """Give the names back if each is one in the manager's grammar; raises UsageError naming the entry.

    Without a `manager`, before it is known which distro they are for: in the grammar of any of them.
    """
    checked = tuple(names)
    grammars = list(_GRAMMARS.values()) if manager is None else [_GRAMMARS[manager]]
    for name in checked:
        if not any(_fits(name, grammar) for grammar in grammars):
            raise _not_a_name(name, where, manager)
    return checked


def _fits(name: str, grammar: _Grammar) -> bool:
    return len(name) <= _LONGEST and grammar.pattern.fullmatch(name) is not None


def _not_a_name(name: str, where: str, manager: PackageManager | None) -> UsageError:
    kind = "a distro package" if manager is None else f"a package of {manager.value}"
    right = "zlib1g-dev or zlib1g-dev:amd64" if manager is None else _GRAMMARS[manager].allowed
    return UsageError(
        f"{where}: {name!r} is not the name of {kind}",
        why="package names are passed to a package manager that runs as root; options, paths, "
        "addresses, patterns and shell words are refused",
        remedy=f"write it as the distro's package manager has it: {right}",
    )
