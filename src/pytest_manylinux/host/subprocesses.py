"""Programs of this machine: what a failed one said, what runs a module, what installs a program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_manylinux.model.observation import how_it_ended

_RUN = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; import runpy; del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def reason_of(returncode: int, words: str) -> str:
    """What a program that failed said, or how it ended if it said nothing (a kill does not).

    `returncode` as subprocess has it: the negative number of the signal that killed it.
    """
    ending = how_it_ended(None, -returncode) if returncode < 0 else how_it_ended(returncode, None)
    return words.strip() or f"{ending}, without a word"


def start_time(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 if there is none such."""
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this Python, never one that lies in the working folder.

    `python -m` looks in the working folder first (PYTHONSAFEPATH is of Python 3.11): in a stranger's
    tree a `pip.py` would be run in pip's place.
    """
    return [sys.executable, "-c", _RUN, module, *arguments]


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


def as_root(command: str) -> str:
    """The command as this user has to write it for it to run as root."""
    return command if os.geteuid() == 0 else f"sudo {command}"
