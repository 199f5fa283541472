"""Say why a root could not be made, in the words of whoever knew it first, and what an archive lacks.

An archive lacks what it does not give as its index promises, or has in a state that nothing can be
made from. A mirror that cannot be reached, or that fails for the moment, is not meant: that is worth a
second attempt at the same thing, not another root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.escape import redact
from pytest_manylinux.host.subprocesses import install_command

# What Docker's, Podman's and skopeo's libraries (Go's net and net/http) say where no registry answered;
# one that answers says `manifest unknown`, `denied`, `unauthorized`, `toomanyrequests`.
_NO_ANSWER = re.compile(
    r"dial tcp|no such host|lookup .* on |connection (refused|reset)|unreachable|no route to host"
    r"|i/o timeout|timed out|awaiting headers|handshake timeout|x509:|proxyconnect|: EOF",
    re.IGNORECASE,
)

_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|don't have enough free space")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Symptom:
    """A pattern in the log and what it means; {groups} of the pattern fill the sentences."""

    pattern: re.Pattern[str]
    what: str
    remedy: str = ""


_SYMPTOMS = (
    _Symptom(
        pattern=re.compile(
            r"Temporary failure resolving|Could not resolve|Could not connect|Connection (refused|"
            r"timed out|failed)|Network is unreachable|Unable to connect|connection timed out"
        ),
        what="the mirror is out of reach",
        remedy="see that `apt-get update` works on this machine (network, proxy, mirror)",
    ),
    _Symptom(
        pattern=re.compile(r"does not have a Release file|404 +Not Found|File not found"),
        what="the mirror does not have this suite or file",
        remedy="another mirror in apt's sources may; old releases move to a historical archive",
    ),
    _Symptom(
        pattern=re.compile(r"Hash Sum mismatch|unexpected size|Size mismatch"),
        what="the mirror is out of step with itself",
        remedy="try again when it has been brought up to date, or name another mirror in apt's sources",
    ),
    _Symptom(
        pattern=re.compile(r"NO_PUBKEY|is not signed|signatures couldn't be verified|GPG error"),
        what="the mirror's signature is not trusted",
        remedy=f"a newer keyring may have its key: {install_command('debian-archive-keyring')}",
    ),
    _Symptom(
        pattern=re.compile(r"Release file .* is (expired|not valid yet)"),
        what="the mirror's Release file is past its date",
        remedy="set check-valid-until = false in the catalogue row, or see that the clock is right",
    ),
    _Symptom(
        pattern=re.compile(r"Unable to locate package|has no installation candidate"),
        what="a package does not exist in this suite",
        remedy="check the names in build-packages",
    ),
    _Symptom(
        pattern=re.compile(r"cannot be executed|arch-test|Exec format error"),
        what="this machine cannot run programs of that architecture",
        remedy=install_command("arch-test qemu-user-static"),
    ),
    _Symptom(
        pattern=re.compile(r"unshare: .*|newuidmap: .*|newgidmap: .*"),
        what="the kernel does not let this user make namespaces",
        remedy="run as root, or allow unprivileged user namespaces",
    ),
)


def explain_failure(title: str, lines: Sequence[str], log: Path | None) -> ManylinuxError:
    """The error for a failed making, from the last lines of its output, the decisive one found.

    `no_room` patterns give a StoreError, by way of the caller (see `ran_out_of_room`).
    """
    where = f"the log is {log}" if log else ""
    for line in lines:
        for symptom in _SYMPTOMS:
            if symptom.pattern.search(line):
                return ImageError(
                    f"{title} could not be made: {symptom.what}",
                    why=line.strip(),
                    remedy="; ".join(filter(None, (symptom.remedy, where))),
                )
    decisive = next((line for line in lines if line.startswith("E: ")), "")
    return ImageError(
        f"{title} could not be made",
        why=decisive.strip() or (lines[-1].strip() if lines else "mmdebstrap said nothing"),
        remedy=where,
    )


def ran_out_of_room(lines: Sequence[str]) -> str:
    """The line that tells of a full disk, or nothing."""
    return next((line.strip() for line in lines if _NO_ROOM.search(line)), "")


# apt 2.6: methods/http.cc and file.cc, apt-pkg/acquire-item.cc, deb/debmetaindex.cc; older ones say
# `Size mismatch`. 403, 410 and 451 are how servers say that a file is not given (any more).
_GONE = (
    r"(?:403|404|410|451)\s|File not found|Hash Sum mismatch|Size mismatch|unexpected size"
    r"|Invalid file format|Signature error|Clearsigned file isn't valid|Unable to find expected entry"
    r"|Unable to parse|was corrupted"
)
_PATTERNS = (
    re.compile(rf"[EW]: Failed to fetch (?P<url>\S+)\s+(?P<why>(?:.*?(?:{_GONE}).*))"),
    re.compile(
        r"E: The repository '(?P<base>\S+) (?P<suite>\S+) (?P<file>\S+)' "
        r"(?P<why>does not have a Release file|no longer has a Release file|is not signed"
        r"|is no longer signed|provides only weak security information)"
    ),
    re.compile(r"E: Release file for (?P<url>\S+) (?P<why>is (?:expired|not valid yet).*?)\.(?: |$)"),
    re.compile(r"[EW]: GPG error: (?P<base>\S+) (?P<suite>\S+) (?P<file>\S+?): (?P<why>.+)"),
)
_ADDRESS = re.compile(r"\s*\[IP: [^]]*\]")


def missing_files(lines: Iterable[str]) -> tuple[str, ...]:
    """`URL: why` of each file that an archive did not give as its index promises, each once.

    `lines` are the output of a failed run of apt; empty if it failed of anything else. Credentials in
    an address are hidden.
    """
    found: dict[str, str] = {}
    for line in lines:
        for pattern in _PATTERNS:
            if match := pattern.match(line.strip()):
                parts = match.groupdict()
                url = parts.get("url") or "{base}/dists/{suite}/{file}".format_map(parts)
                found.setdefault(url, " ".join(_ADDRESS.sub("", parts["why"]).split()))
                break
    return tuple(redact(f"{unquote(url)}: {why}") for url, why in found.items())


def in_short(missing: tuple[str, ...]) -> str:
    """The first of them, and how many more there are."""
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f"{missing[0]}{more}"


class NoAnswerError(ImageError):
    """A registry that could not be reached; asking it for another image is no use."""


def pull_failed(title: str, wanted: object, words: str) -> ImageError:
    """What a failed pull amounts to, by the words of engine, client and registry."""
    kind = NoAnswerError if _NO_ANSWER.search(words) else ImageError
    return kind(
        f"{title}: {wanted} could not be pulled",
        why=words,
        remedy="see that the registry answers and that you are logged in, or set registry-mirror; "
        "image-source = archive makes Debian's roots without a registry",
    )
