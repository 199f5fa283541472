"""How each package manager installs Python and pip into an official image, as data.

Official images seldom have both. A derived image gets the packages that the catalogue names, and
nothing else: no recommended packages, no documentation beyond what the image's own settings keep.
The commands are run by whatever the caller hands in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pytest_manylinux.errors import ImageError
from pytest_manylinux.escape import redact
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import OLD_HOSTS, named_mirror, variable, words_of
from pytest_manylinux.images.failure import in_short, missing_files
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay
from pytest_manylinux.model.packages import PackageManager, check_names, package_manager

CA_INSIDE = "/dev/shm/pytest-manylinux-ca.pem"  # noqa: S108 - a file system of memory, never kept

Commands = tuple[tuple[str, ...], ...]
_KEPT = 20
"""Lines of a failed command's output that the error carries."""

FORMAT = 1
"""Raise it when plans change in a way that makes other images."""

_CA_VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "SSL_CA_CERT_FILE")
_NO_WEAK = "--setopt=install_weak_deps=False"
_NO_DOCS = "--setopt=tsflags=nodocs"
_APT_INSTALL = ("install", "--yes", "--no-install-recommends")
_NAMES_ONLY = ("-o", "APT::Cmd::Pattern-Only=true")
"""Without it apt-get takes an unknown name with a dot for a regular expression (apt-get(8))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionPlan:
    """Commands in order, each to end with exit code 0, as the superuser and with network.

    `way` are words for where they take packages from, empty for the image's own sources; `otherwise`
    are commands, with such words, for when that place lacks something. `listing` prints the packages
    that are there then, with their versions, a line each, and nothing else. `environment` is for these
    commands alone and never part of the image that comes out. `key` is a digest of what gets installed
    and how; the user's network (proxies, certificates) has no part in it.
    """

    commands: Commands
    key: str
    listing: tuple[str, ...] = ()
    way: str = ""
    otherwise: tuple[tuple[str, Commands], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def provision_plan(
    manager: str,
    packages: tuple[str, ...],
    *,
    arch: str = "",
    release: str = "",
    ca_bundle: str = "",
    proxies: Mapping[str, str] | None = None,
    archive: ArchiveRecipe | None = None,
) -> ProvisionPlan:
    """The plan that installs `packages`; no packages, no commands.

    `arch` is the image's, where the machine's kernel may say another. `release` is the suite to take
    packages from where that is not the image's default (apt alone has such a choice). `archive` tells
    apt where a release is that has left the image's own sources: in the archive of old releases, which
    is asked first for a row that is not live. `ca_bundle` is a path inside the container with the
    certificates of the user's own network.
    Raises UsageError for a package manager that is not known, and for what is not a package's name.
    """
    known = package_manager(manager)
    wanted = check_names(sorted(set(packages)), where=f"packages for {manager}", manager=known)
    certificates = dict.fromkeys(_CA_VARIABLES, ca_bundle) if ca_bundle else {}
    own = _all_commands(known, wanted, arch, release, ca_bundle) if wanted else ()
    old = _of_old_releases(archive, wanted, ca_bundle) if wanted and known is PackageManager.APT else []
    first, *rest = [*old, ("", own)] if old and archive and not archive.live else [("", own), *old]
    return ProvisionPlan(
        commands=first[1],
        way=first[0],
        otherwise=tuple(rest),
        key=_key(_all_commands(known, wanted, arch, release, "")),
        listing=_listing(known),
        environment={**(proxies or {}), **certificates, **_QUIET.get(known, {})},
    )


def _listing(manager: PackageManager) -> tuple[str, ...]:
    words: tuple[str, ...]
    match manager:
        case PackageManager.APT:
            words = ("dpkg-query", "--show")
        case PackageManager.APK:
            words = ("apk", "info", "--verbose")
        case PackageManager.PACMAN:
            words = ("pacman", "--query")
        case PackageManager.SLACKPKG:
            words = ("ls", "/var/log/packages")
        case PackageManager.TDNF:  # brings the library of rpm, not the program
            words = ("tdnf", "list", "installed")
        case (
            PackageManager.APT_RPM
            | PackageManager.DNF
            | PackageManager.DNF5
            | PackageManager.MICRODNF
            | PackageManager.YUM
            | PackageManager.ZYPPER
        ):
            return ("sh", "-c", _BY_RPM)
    return ("sh", "-c", _WITHOUT_WARNINGS, "sh", *words)


_WITHOUT_WARNINGS = 'exec "$@" 2>/dev/null'
"""Warnings are of the machine and not of the image."""
_BY_RPM = (
    'for where in "" --dbpath=/var/lib/rpm; do '
    "listed=$(rpm $where --query --all 2>/dev/null) || continue; "
    '[ -z "$listed" ] || { printf "%s\\n" "$listed"; exit; }; '
    "done"
)
"""Debian 12's rpm looks into ~/.rpmdb, and zypper, which hands it --dbpath, keeps to /var/lib/rpm."""


def _key(commands: Commands) -> str:
    return hashlib.sha256(msgspec.json.encode([FORMAT, commands])).hexdigest()


_QUIET: Mapping[PackageManager, Mapping[str, str]] = {
    PackageManager.APT: {"DEBIAN_FRONTEND": "noninteractive"},
    PackageManager.ZYPPER: {"ZYPP_LOCK_TIMEOUT": "60"},
}


_OR_NOTHING = ("sh", "-c", '"$@" || test $? -eq 20', "sh")
"""slackpkg ends with 20 where there is nothing to do (its manual page)."""
_ON_I586 = (
    'file=/etc/zypp/zypp.conf; mkdir -p "${file%/*}"; touch $file; '
    "grep -q '^\\[main\\]' $file || echo '[main]' >>$file; "
    "grep -q '^arch *=' $file || sed -i '/^\\[main\\]/a arch = i586' $file"
)
"""zypper takes the kernel's word for the architecture, which is x86_64 in an i586 image."""
_WITH_CA = "sed -i '/^\\[main\\]/a sslcacert={ca}' /etc/dnf/dnf.conf"
_WITHOUT_CA = "sed -i '\\|^sslcacert={ca}$|d' /etc/dnf/dnf.conf"
"""microdnf's --setopt refuses sslcacert, which libdnf takes from the file of settings."""


def _all_commands(
    manager: PackageManager, packages: tuple[str, ...], arch: str, release: str, ca: str
) -> Commands:
    """The manager's commands, with what some need before and after them."""
    commands = _commands(manager, packages, release, ca)
    if manager is PackageManager.ZYPPER and arch == "i686":
        return (("sh", "-c", _ON_I586), *commands)
    if manager is PackageManager.MICRODNF and ca:
        before, after = (("sh", "-c", text.format(ca=ca)) for text in (_WITH_CA, _WITHOUT_CA))
        return (before, *commands, after)
    return commands


def _commands(manager: PackageManager, packages: tuple[str, ...], release: str, ca: str) -> Commands:
    commands: Commands
    match manager:
        case PackageManager.APT:
            commands = _apt(packages, release, ca)
        case PackageManager.APT_RPM:
            install = ("apt-get", "install", "--yes", "--", *packages)
            commands = (("apt-get", "update"), install, ("apt-get", "clean"))
        case PackageManager.APK:
            commands = (("apk", "add", "--no-cache", "--", *packages),)
        case PackageManager.DNF | PackageManager.DNF5 | PackageManager.MICRODNF:
            commands = _dnf(manager.value, packages, ca)
        case PackageManager.YUM:
            install = ("yum", "install", "--assumeyes", _NO_DOCS, *_ssl(ca), "--", *packages)
            commands = (install, ("yum", "clean", "all"))
        case PackageManager.TDNF:
            install = ("tdnf", "install", "--assumeyes", *_ssl(ca), "--", *packages)
            commands = (install, ("tdnf", "clean", "all"))
        case PackageManager.ZYPPER:
            commands = _zypper(packages)
        case PackageManager.PACMAN:
            commands = _pacman(packages)
        case PackageManager.SLACKPKG:
            batch = ("slackpkg", "-batch=on", "-default_answer=y")
            # As with pacman: a package may want others newer than the image's, Python 3.9 its expat.
            upgrade = (*_OR_NOTHING, *batch, "upgrade-all")
            # A shell script that does not know `--`: that names begin with no dash has to do.
            commands = ((*batch, "update"), upgrade, (*batch, "install", *packages))
    return commands


def _of_old_releases(
    archive: ArchiveRecipe | None, packages: tuple[str, ...], ca: str
) -> list[tuple[str, Commands]]:
    """The same packages by apt from the archive of old releases, in order, each with words for it."""
    if archive is None or archive.origin not in OLD_HOSTS:
        return []
    words = words_of(ArchiveWay.OLD_RELEASES)
    # Packages of the image may be newer than the plain suite's: updates and security come first.
    suites = ((*archive.extra_suites, archive.suite), (archive.suite,))
    return [(words, _old_apt(archive, names, packages, ca)) for names in dict.fromkeys(suites)]


def _old_apt(
    archive: ArchiveRecipe, suites: tuple[str, ...], packages: tuple[str, ...], ca: str
) -> Commands:
    script = _OLD_RELEASES.read_text("utf-8")
    origin = archive.origin
    named = (origin, named_mirror(origin, "old"), OLD_HOSTS[origin], variable(origin, "old"))
    lines = (f"{suite} {' '.join(archive.components)}" for suite in suites)
    point = ("sh", "-c", script, "old_releases.sh", *named, *lines)
    return (point, *_apt(packages, "", ca, *_OLD_OPTIONS))


_OLD_RELEASES = Path(__file__).with_name("hooks") / "old_releases.sh"
_OLD_OPTIONS = (
    *("-o", "Dir::Etc::SourceList=/dev/shm/pytest-manylinux-apt/sources.list"),
    *("-o", "Dir::Etc::SourceParts=/dev/shm/pytest-manylinux-apt/parts"),
    *("-o", "Acquire::Check-Valid-Until=false"),
)


def _apt(packages: tuple[str, ...], release: str, ca: str, *more: str) -> Commands:
    certificates = ("-o", f"Acquire::https::CaInfo={ca}") if ca else ()
    suite = (f"--target-release={release}",) if release else ()
    options = ("-o", "Acquire::Retries=3", *certificates, *more)
    return (
        ("apt-get", *options, "update"),
        ("apt-get", *options, *_NAMES_ONLY, *_APT_INSTALL, *suite, "--", *packages),
        ("apt-get", "clean"),
        ("sh", "-c", "rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log"),
    )


def _dnf(program: str, packages: tuple[str, ...], ca: str) -> Commands:
    # microdnf takes numbers only.
    weak = _NO_WEAK if program != "microdnf" else "--setopt=install_weak_deps=0"
    ssl = _ssl(ca) if program != "microdnf" else ()
    # What microdnf does with `--` was not seen; that names begin with no dash has to do there.
    end = () if program == "microdnf" else ("--",)
    return (
        (program, "install", "--assumeyes", weak, _NO_DOCS, *ssl, *end, *packages),
        (program, "clean", "all"),
    )


def _zypper(packages: tuple[str, ...]) -> Commands:
    zypper = ("zypper", "--non-interactive", "--gpg-auto-import-keys")
    return (
        (*zypper, "refresh"),
        (*zypper, "install", "--no-recommends", "--auto-agree-with-licenses", "--", *packages),
        ("zypper", "clean", "--all"),
    )


def _pacman(packages: tuple[str, ...]) -> Commands:
    # A rolling system must be brought up to date with what is added to it.
    options = ("--refresh", "--sysupgrade", "--noconfirm", "--needed")
    upgrade = ("pacman", "--sync", *options, "--", *packages)
    return (upgrade, ("pacman", "--sync", "--clean", "--clean", "--noconfirm"))


def _ssl(ca: str) -> tuple[str, ...]:
    return (f"--setopt=sslcacert={ca}",) if ca else ()


class CommandFailedError(ImageError):
    """A command of a plan ended with another exit code than 0; `why` is the end of its output."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the script says that points apt elsewhere, where it knows no place."""
        lines = self.why.splitlines()
        return tuple(line.removeprefix("E: ") for line in lines if line.startswith("E: no archive of"))


def command_failed(
    title: str, command: tuple[str, ...], code: int | None, output: str
) -> CommandFailedError:
    """The error for a command of a plan that ended with another exit code than 0."""
    return CommandFailedError(
        f"{title}: {' '.join(command[:2])} ended with exit code {code}",
        why="\n".join(output.strip().splitlines()[-_KEPT:]),
        remedy="see that the image's package mirrors answer; proxies come from the environment",
    )


def install(plan: ProvisionPlan, run: Callable[[tuple[str, ...]], str], title: str, say: Say) -> str:
    """Run the plan's commands, by the next way where the last one lacks something.

    `run` runs one command, gives the end of its output, and raises CommandFailedError. Gives words for
    a way that is not the image's own sources, and for what they lacked.
    """
    lacking: list[str] = []
    ways = ((plan.way, plan.commands), *plan.otherwise)
    for number, (way, commands) in enumerate(ways, start=1):
        try:
            for command in commands:
                run(command)
        except CommandFailedError as error:
            missing = missing_files(error.why.splitlines()) or error.unknown
            # Old releases that are asked first may be out of reach: the image has its own sources.
            if number == len(ways) or not (missing or plan.way):
                raise _with_before(error, lacking) from error
            last = redact(error.why.rpartition("\n")[2] or error.what)
            lacking.append(in_short(missing) if missing else last)
            following = ways[number][0] or "the image's own sources"
            say(f"{title}: {lacking[-1]}; going on with {following}")
        else:
            return "; lacking was ".join(filter(None, (way, "; ".join(lacking)))) if way else ""
    return ""


def _with_before(error: ImageError, lacking: list[str]) -> ImageError:
    if not lacking:
        return error
    why = f"{error.why} (and before: {'; '.join(lacking)})"
    return ImageError(error.what, why=why, remedy=error.remedy)


def packages_digest(plan: ProvisionPlan, run: Callable[[tuple[str, ...]], str]) -> str:
    """A digest of the packages that are there, with their versions; empty where none are listed."""
    try:
        lines = sorted(run(plan.listing).splitlines())
    except ImageError:
        return ""
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the user's own network is reached: proxies, and a file of certificates on the host."""

    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None
