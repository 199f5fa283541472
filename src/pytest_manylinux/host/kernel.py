"""Settings of this machine's kernel that forbid user namespaces.

Everything that runs without a daemon needs user namespaces: bubblewrap, rootless containers, and the
making of roots by an ordinary user.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SETTINGS = Path("/proc/sys")
# A setting, the value that forbids, and the one that allows.
_FORBIDDING = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)


def forbidding_settings(settings: Path = SETTINGS) -> Iterator[tuple[str, str, str]]:
    """Each setting that forbids them: its name, its value, and the command that allows them."""
    for path, forbids, allows in _FORBIDDING:
        try:
            value = (settings / path).read_text().strip()
        except OSError:
            continue
        if value == forbids:
            name = path.replace("/", ".")
            yield name, value, as_root(f"sysctl -w {name}={allows}")


def allowing_namespaces(settings: Path = SETTINGS) -> str:
    """The command that allows user namespaces, with the reason; empty if no setting forbids them."""
    found = next(forbidding_settings(settings), None)
    return f"{found[2]} (the kernel's {found[0]} is {found[1]})" if found else ""


def forbidding_all(settings: Path = SETTINGS) -> tuple[str, str] | None:
    """A setting that lets no program of an ordinary user have them, and the command that allows them.

    AppArmor's is none of these: it exempts programs that have a profile, as Podman may.
    """
    for name, value, command in forbidding_settings(settings):
        if "apparmor" not in name:
            return f"{name} is {value}", command
    return None


def as_root(command: str) -> str:
    """The command as this user has to write it for it to run as root."""
    return command if os.geteuid() == 0 else f"sudo {command}"
