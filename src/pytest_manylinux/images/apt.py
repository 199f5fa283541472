"""What this machine's apt knows: mirrors, keyrings, and how it reaches them.

Roots are made from the mirrors that the machine already uses, so that proxies, company mirrors and
air-gapped networks work as they do for apt itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.errors import ImageError
from pytest_manylinux.model.distro import ArchiveRecipe

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

MIRROR_VARIABLE = "PYTEST_MANYLINUX_MIRROR_{origin}"
_FIELDS = ("SITE", "RELEASE", "ORIGIN", "LABEL", "SOURCESENTRY", "CREATED_BY")
_TRANSPORT = re.compile(r"Acquire::(https?|ftp|Retries|ForceIPv[46])\b")
_SIGNED_BY = re.compile(
    r"(?:signed-by=|^Signed-By:[ \t]*)(?P<path>/[^\s\],]+)", re.IGNORECASE | re.MULTILINE
)
_SUITES = {
    "debian": re.compile(
        r"(buster|bullseye|bookworm|trixie|forky|duke|sid|(old){0,2}stable|testing|unstable)\b"
    ),
    "ubuntu": re.compile(r"(bionic|focal|jammy|noble|plucky|questing|resolute|devel)\b"),
}
"""Tell an archive's family by its suites where its Release files were not fetched yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A base URL and the keyring that vouches for it, None for apt's own trusted keys."""

    url: str
    keyring: Path | None
    security: bool

    def entry(self, suite: str, components: tuple[str, ...]) -> str:
        """The line of a sources.list for one suite."""
        option = "" if self.keyring is None else f"[signed-by={self.keyring}] "
        return f"deb {option}{self.url} {suite} {' '.join(components)}"


class MachineApt:
    """The apt of this machine, asked through its own commands."""

    def sources(self, recipe: ArchiveRecipe, *, extras: bool = True) -> tuple[str, ...]:
        """The sources.list lines for a suite: the suite first, then updates and security.

        Security comes only where this machine's apt has a security mirror of that origin.
        Raises ImageError if it has no mirror of the origin at all.
        """
        mirrors = tuple(self._mirrors(recipe.origin))
        main = next((mirror for mirror in mirrors if not mirror.security), None)
        if main is None:
            raise _no_mirror(recipe.origin)
        security = next((mirror for mirror in mirrors if mirror.security), None)
        lines = [main.entry(recipe.suite, recipe.components)]
        for suite in recipe.extra_suites if extras else ():
            mirror = security if is_security(suite) else main
            if mirror is not None:
                lines.append(mirror.entry(suite, recipe.components))
        return tuple(lines)

    def transport(self) -> str:
        """An apt.conf of how this machine reaches its mirrors: proxies, certificates, logins."""
        lines = [line for line in _run("apt-config", "dump").splitlines() if _TRANSPORT.match(line)]
        lines.append('Acquire::Retries "3";')
        for name in ("netrc", "netrcparts"):
            path = _run("apt-config", "shell", "found", f"Dir::Etc::{name}/f")
            if match := re.search(r"found='(?P<path>[^']+)'", path):
                lines.append(f'Dir::Etc::{name} "{match["path"]}";')
        return "\n".join(lines) + "\n"

    def _mirrors(self, origin: str) -> Iterator[Mirror]:
        keyring = _archive_keyring(origin)
        named = os.environ.get(MIRROR_VARIABLE.format(origin=origin.upper()))
        if named:
            yield Mirror(url=named.rstrip("/"), keyring=keyring, security=False)
        template = "|".join(f"$({field})" for field in _FIELDS)
        for line in _run("apt-get", "indextargets", "--format", template).splitlines():
            target = dict(zip(_FIELDS, line.split("|"), strict=False))
            if _usable(target, origin):
                yield Mirror(
                    url=target["SITE"].rstrip("/"),
                    keyring=_signed_by(target["SOURCESENTRY"]) or keyring,
                    security=is_security(target["RELEASE"]),
                )


def is_security(suite: str) -> bool:
    """Whether a suite holds security updates (`bookworm-security`, `buster/updates`)."""
    return suite.endswith(("-security", "/updates"))


def _usable(target: dict[str, str], origin: str) -> bool:
    if target.get("CREATED_BY") != "Packages" or target["SITE"].startswith("cdrom:"):
        return False
    known = target["ORIGIN"]
    if known:
        return known.lower() == origin
    pattern = _SUITES.get(origin)
    return pattern is not None and pattern.match(target["RELEASE"]) is not None


def _signed_by(entry: str) -> Path | None:
    """The Signed-By of a sources entry, given as `file:number` (line of a list, stanza of deb822)."""
    name, _, number = entry.rpartition(":")
    try:
        text = Path(name).read_text("utf-8")
        parts = _stanzas(text) if name.endswith(".sources") else text.splitlines()
        match = _SIGNED_BY.search(parts[int(number) - 1])
    except (OSError, ValueError, IndexError):
        return None
    return Path(match["path"]) if match and Path(match["path"]).is_file() else None


def _stanzas(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [part for part in re.split(r"\n\s*\n", "\n".join(lines)) if part.strip()]


def _archive_keyring(origin: str) -> Path | None:
    for folder in ("/usr/share/keyrings", "/etc/apt/keyrings"):
        path = Path(folder) / f"{origin}-archive-keyring.gpg"
        if path.is_file():
            return path
    return None


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
    variable = MIRROR_VARIABLE.format(origin=origin.upper())
    return ImageError(
        f"this machine's apt knows no {origin} mirror, so its roots cannot be made here",
        remedy=f"add one to apt's sources, or name one in {variable}",
    )
