"""What this machine's apt knows: mirrors, keyrings, and how it reaches them; and old releases.

Roots are made from the mirrors that the machine already uses, so that proxies, company mirrors and
air-gapped networks work as they do for apt itself. No host is named here: an archive of old releases is
what the user names, or else the neighbour of the distribution's own host that the machine, or an image,
already fetches from.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_manylinux.errors import ImageError
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay

MIRROR_VARIABLE = "PYTEST_MANYLINUX_MIRROR_{origin}"
OLD_HOSTS = {"debian": "archive", "ubuntu": "old-releases"}
"""By origin the name that the host of old releases has in the distribution's own domain."""

_WORDS = {
    ArchiveWay.ALL_SUITES: "all suites",
    ArchiveWay.PLAIN_SUITE: "the plain suite, without updates and security",
    ArchiveWay.OLD_RELEASES: "the archive of old releases",
}


def words_of(way: ArchiveWay) -> str:
    """What a way takes a root from, for people."""
    return _WORDS[way]


def ways_of(recipe: ArchiveRecipe) -> tuple[ArchiveWay, ...]:
    """The row's ways in order; where there are no further suites, all of them are the plain one."""
    plain = ArchiveWay.PLAIN_SUITE
    same = not recipe.extra_suites and ArchiveWay.ALL_SUITES in recipe.ways
    return tuple(way for way in recipe.ways if not (same and way is plain))


def variable(origin: str, part: str = "") -> str:
    """The environment variable that names a mirror: of an origin, or of a part of it."""
    return MIRROR_VARIABLE.format(origin="_".join(filter(None, (origin, part))).upper())


def named_mirror(origin: str, part: str = "") -> str:
    """What that variable names, without a slash at the end; empty if it is not set."""
    return os.environ.get(variable(origin, part), "").rstrip("/")


def old_releases_beside(url: str, origin: str) -> str:
    """The archive of old releases beside a distribution's own mirror; empty for any other mirror.

    A company's mirror tells nothing of where old releases are.
    """
    domain = (urlsplit(url).hostname or "").split(".")[-2:]
    if origin not in OLD_HOSTS or len(domain) != len(("name", "top")) or domain[0] != origin:
        return ""
    return f"http://{OLD_HOSTS[origin]}.{'.'.join(domain)}/{origin}"


def no_old_releases(origin: str) -> ImageError:
    """The error where nobody named an archive of old releases, and none can be derived."""
    return ImageError(
        f"no archive of old {origin} releases is known here",
        remedy=f"name one in {variable(origin, 'old')}",
    )


DEBIAN_ARCHITECTURES = {
    "x86_64": "amd64",
    "i686": "i386",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
"""Debian's name for each architecture of a platform tag (wiki.debian.org/ArchitectureSpecificsMemo)."""

_FIELDS = ("SITE", "RELEASE", "SOURCESENTRY", "CREATED_BY", "FILENAME")
_NO_LISTS = "/nonexistent/lists"
_TRANSPORT = re.compile(r"Acquire::(https?|ftp|Retries|ForceIPv[46])\b")
_SIGNED_BY = re.compile(
    r"(?:signed-by=|^Signed-By:[ \t]*)(?P<path>/[^\s\],]+)", re.IGNORECASE | re.MULTILINE
)
_IN_RELEASE = re.compile(r"'(?P<url>\S+)/dists/(?P<suite>\S+)/InRelease'")
_SHELL = re.compile(r"^(\w+)='([^']*)'$", re.MULTILINE)
_SUITES = {
    "debian": re.compile(
        r"(buster|bullseye|bookworm|trixie|forky|duke|sid|(old){0,2}stable|testing|unstable)\b"
    ),
    "ubuntu": re.compile(r"(bionic|focal|jammy|noble|plucky|questing|resolute|devel)\b"),
}
"""Tell an archive's family by its suites where its Release files were not fetched yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A base URL and the keyrings that vouch for it, none for apt's own trusted keys."""

    url: str
    keyrings: tuple[Path, ...]
    security: bool = False

    def entry(self, suite: str, components: tuple[str, ...]) -> str:
        """The line of a sources.list for one suite."""
        option = f"[signed-by={','.join(map(str, self.keyrings))}] " if self.keyrings else ""
        return f"deb {option}{self.url} {suite} {' '.join(components)}"


class MachineApt:
    """The apt of this machine, asked through its own commands."""

    def sources(
        self, recipe: ArchiveRecipe, way: ArchiveWay = ArchiveWay.ALL_SUITES
    ) -> tuple[str, ...]:
        """The sources.list lines for a suite: the suite first, then updates and security.

        Those come with all suites only, and security only where this machine's apt has a security
        mirror of that origin. Raises ImageError if no mirror of the origin is known at all, or no
        archive of its old releases where that is the way.
        """
        if way is ArchiveWay.OLD_RELEASES:
            return (self.old_releases(recipe.origin).entry(recipe.suite, recipe.components),)
        mirrors = tuple(self._mirrors(recipe.origin))
        main = next((mirror for mirror in mirrors if not mirror.security), None)
        if main is None:
            raise _no_mirror(recipe.origin)
        security = next((mirror for mirror in mirrors if mirror.security), None)
        lines = [main.entry(recipe.suite, recipe.components)]
        for suite in recipe.extra_suites if way is ArchiveWay.ALL_SUITES else ():
            mirror = security if is_security(suite) else main
            if mirror is not None:
                lines.append(mirror.entry(suite, recipe.components))
        return tuple(lines)

    def old_releases(self, origin: str) -> Mirror:
        """The archive of an origin's old releases; raises ImageError if none is known.

        Keys that were retired are trusted for it and for nothing else: they signed old releases.
        """
        keyrings = _archive_keyrings(origin, "archive-keyring", "archive-removed-keys")
        url = named_mirror(origin, "old")
        if not url and not named_mirror(origin):
            beside = (old_releases_beside(mirror.url, origin) for mirror in self._mirrors(origin))
            url = next(filter(None, beside), "")
        if not url:
            raise no_old_releases(origin)
        return Mirror(url=url, keyrings=keyrings)

    def transport(self) -> str:
        """An apt.conf of how this machine reaches its mirrors: proxies, certificates, logins."""
        lines = [line for line in _run("apt-config", "dump").splitlines() if _TRANSPORT.match(line)]
        lines.append('Acquire::Retries "3";')
        places = _apt_places(netrc="Dir::Etc::netrc/f", netrcparts="Dir::Etc::netrcparts/f")
        lines.extend(f'Dir::Etc::{name} "{path}";' for name, path in places.items() if path)
        return "\n".join(lines) + "\n"

    def _mirrors(self, origin: str) -> Iterator[Mirror]:
        keyrings = _archive_keyrings(origin, "archive-keyring")
        if named := named_mirror(origin):
            yield Mirror(url=named, keyrings=keyrings)
        if named := named_mirror(origin, "security"):
            yield Mirror(url=named, keyrings=keyrings, security=True)
        known = 0
        for target in _targets():
            if _usable(target, origin):
                known += 1
                yield Mirror(
                    url=target["SITE"].rstrip("/"),
                    keyrings=_signed_by(target["SOURCESENTRY"]) or keyrings,
                    security=is_security(target["RELEASE"]),
                )
        if not known:
            yield from _never_fetched(origin, keyrings)


def _targets() -> Iterator[dict[str, str]]:
    """What apt has fetched the lists of, with the `ORIGIN` that its Release file says, empty if none.

    apt would say that, too, but reads all lists first, which takes a second where it may not or does
    not keep what it has read: in a container, for an ordinary user. So it is shown no lists.
    """
    template = "|".join(f"$({field})" for field in _FIELDS)
    options = ("--no-release-info", "-o", f"Dir::State::lists={_NO_LISTS}")
    lines = _run("apt-get", "indextargets", *options, "--format", template).splitlines()
    folder = Path(_apt_places(lists="Dir::State::lists/d").get("lists") or _NO_LISTS)
    try:
        lists = sorted(folder.iterdir())
    except OSError:  # none were ever fetched, or this user may not see them
        lists = []
    fetched = {name for path in lists for name in (path.name, path.stem)}
    releases = [path for path in lists if path.name.endswith(("_InRelease", "_Release"))]
    for line in lines:
        target = dict(zip(_FIELDS, line.split("|"), strict=False))
        name = Path(target.get("FILENAME", "")).name
        if name in fetched:
            yield {**target, "ORIGIN": _origin_of(name, releases)}


def _origin_of(name: str, releases: Iterable[Path]) -> str:
    """The origin in the Release file beside a list; the longest prefix is its own archive's."""
    beside = [path for path in releases if name.startswith(path.name.rpartition("_")[0] + "_")]
    for path in sorted(beside, key=lambda path: len(path.name), reverse=True):
        with contextlib.suppress(OSError):
            text = path.read_text("utf-8", "replace")
            if found := re.search(r"^Origin: *(.*\S)", text, re.MULTILINE):
                return found[1]
    return ""


def _apt_places(**options: str) -> dict[str, str]:
    """What apt's configuration says of these options, by the names given."""
    words = [word for pair in options.items() for word in pair]
    return dict(_SHELL.findall(_run("apt-config", "shell", *words)))


def _never_fetched(origin: str, keyrings: tuple[Path, ...]) -> Iterator[Mirror]:
    """The mirrors in the sources of a machine without lists, as an image or a new machine is."""
    pattern = _SUITES.get(origin)
    for line in _run("apt-get", "update", "--print-uris").splitlines():
        match = _IN_RELEASE.match(line)
        if match and pattern and pattern.match(match["suite"]):
            yield Mirror(
                url=match["url"],
                keyrings=_signed_by_entry_of(match["url"]) or keyrings,
                security=is_security(match["suite"]),
            )


def _signed_by_entry_of(url: str) -> tuple[Path, ...]:
    """The Signed-By of the first entry that has an address in it."""
    places = _apt_places(list="Dir::Etc::sourcelist/f", parts="Dir::Etc::sourceparts/d")
    files = [Path(places["list"])] if places.get("list") else []
    if parts := places.get("parts"):
        files += sorted(path for path in Path(parts).glob("*") if path.suffix in {".list", ".sources"})
    for path in filter(Path.is_file, files):
        text = path.read_text("utf-8", "replace")
        entries = _stanzas(text) if path.suffix == ".sources" else text.splitlines()
        for number, entry in enumerate(entries, start=1):
            if re.search(rf"{re.escape(url)}/?(?:\s|$)", entry):
                return _signed_by(f"{path}:{number}")
    return ()


def is_security(suite: str) -> bool:
    """Whether a suite holds security updates (`bookworm-security`, `buster/updates`)."""
    return suite.endswith(("-security", "/updates"))


def _usable(target: dict[str, str], origin: str) -> bool:
    if target.get("CREATED_BY") != "Packages" or target["SITE"].startswith("cdrom:"):
        return False
    if target["ORIGIN"]:
        return target["ORIGIN"].lower() == origin
    pattern = _SUITES.get(origin)
    return pattern is not None and pattern.match(target["RELEASE"]) is not None


def _signed_by(entry: str) -> tuple[Path, ...]:
    """The Signed-By of a sources entry, given as `file:number` (line of a list, stanza of deb822)."""
    name, _, number = entry.rpartition(":")
    try:
        text = Path(name).read_text("utf-8")
        parts = _stanzas(text) if name.endswith(".sources") else text.splitlines()
        match = _SIGNED_BY.search(parts[int(number) - 1])
    except (OSError, ValueError, IndexError):
        return ()
    return (Path(match["path"]),) if match and Path(match["path"]).is_file() else ()


def _stanzas(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [part for part in re.split(r"\n\s*\n", "\n".join(lines)) if part.strip()]


def _archive_keyrings(origin: str, *names: str) -> tuple[Path, ...]:
    folders = ("/usr/share/keyrings", "/etc/apt/keyrings")
    paths = [[Path(folder) / f"{origin}-{name}.gpg" for folder in folders] for name in names]
    found = (next((path for path in places if path.is_file()), None) for places in paths)
    return tuple(path for path in found if path is not None)


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError as error:
        raise ImageError(
            f"there is no {argv[0]} on this machine, so no Debian-style root can be made",
            remedy="use a container engine, or a machine with apt",
        ) from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"{argv[0]} does not answer", why=_words(error)) from error
    return done.stdout


def _words(error: subprocess.SubprocessError) -> str:
    text: Iterable[str] = str(getattr(error, "stderr", None) or "").splitlines()
    return next((line for line in text if line.startswith("E:")), str(error))


def _no_mirror(origin: str) -> ImageError:
    return ImageError(
        f"this machine's apt knows no {origin} mirror, so its roots cannot be made here",
        remedy=f"add one to apt's sources, or name one in {variable(origin)}",
    )
