"""The exact command that installs something here, by the package manager that this machine has."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from pytest_manylinux.host.kernel import as_root

_COMMANDS = {
    "apt-get": "apt-get install --yes {package}",
    "dnf": "dnf install --assumeyes {package}",
    "zypper": "zypper --non-interactive install {package}",
    "pacman": "pacman --sync --noconfirm {package}",
    "apk": "apk add {package}",
}
# Program -> its package, where that has another name: by manager, or for all.
_PACKAGES: dict[str, dict[str, str]] = {
    "bwrap": {"": "bubblewrap"},
    "libseccomp": {"apt-get": "libseccomp2", "zypper": "libseccomp2"},
    "dockerd": {"apt-get": "docker.io", "dnf": "moby-engine", "": "docker"},
    "newuidmap": {"apt-get": "uidmap", "pacman": "shadow", "": "shadow-utils"},
    "bsdtar": {"apt-get": "libarchive-tools", "pacman": "libarchive", "apk": "libarchive-tools"},
    "setpriv": {"": "util-linux"},
    "unshare": {"": "util-linux"},
    "qemu-user-static": {"zypper": "qemu-linux-user"},
}
_NOT_PACKAGED = {("mmdebstrap", "apk"), ("qemu-user-static", "apk")}


def install_command(program: str, *, which: Callable[[str], str | None] = shutil.which) -> str:
    """Such as `sudo apt-get install --yes bubblewrap`; a sentence where no known manager is here."""
    manager = next((name for name in _COMMANDS if which(name)), "")
    names = _PACKAGES.get(program, {})
    package = names.get(manager) or names.get("") or program
    if not manager or (program, manager) in _NOT_PACKAGED:
        return f"install {package}"
    return as_root(_COMMANDS[manager].format(package=package))
