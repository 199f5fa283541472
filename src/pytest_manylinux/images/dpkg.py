"""Read a Debian root's package database: what is installed, and so which root it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_manylinux.errors import StoreError

Packages = tuple[tuple[str, str], ...]


def installed_packages(root: Path) -> Packages:
    """(name, version) of every installed package, sorted; raises StoreError if there is no list."""
    status = root / "var/lib/dpkg/status"
    try:
        text = status.read_text("utf-8", errors="replace")
    except OSError as error:
        raise StoreError(f"no package list in {root}", why=str(error)) from error
    return tuple(sorted(_installed(text)))


def identity(arch: str, packages: Iterable[tuple[str, str]]) -> str:
    """The digest of a root: sha256 over architecture and the sorted `name=version` lines."""
    lines = [arch, *sorted(f"{name}={version}" for name, version in packages)]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _installed(text: str) -> Iterator[tuple[str, str]]:
    for stanza in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.splitlines()
            if ": " in line and not line.startswith((" ", "\t"))
        )
        if fields.get("Status", "").endswith(" installed"):
            yield fields["Package"], fields["Version"]
