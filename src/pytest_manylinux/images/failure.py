"""Say why a root could not be made, in the words of whoever knew it first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.host.containment import install_command

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
