"""Whether this machine can run bubblewrap and, if not, what cures it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from pytest_manylinux.errors import EngineError
from pytest_manylinux.host.containment import SETTINGS, allowing_namespaces
from pytest_manylinux.host.subprocesses import install_command

_OLDEST = (0, 8)
_PROBE_TIMEOUT = 60.0
# What a sandbox of ours needs of the kernel: nested user namespaces, a procfs, a tmpfs.
_PROBE = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--size", "4096", "--tmpfs", "/tmp"),  # noqa: S108
)


def find_bubblewrap(*, settings: Path = SETTINGS) -> tuple[str, str]:
    """The path of `bwrap` and its version. Raises EngineError if it is missing, old or forbidden."""
    program = shutil.which("bwrap")
    if program is None:
        raise EngineError(
            "engine bubblewrap is not on this machine",
            why="there is no program `bwrap` on PATH",
            remedy=install_command("bwrap"),
        )
    version = _read_version(program)
    words = _probe(program)
    if words:
        raise EngineError(
            "engine bubblewrap cannot make a sandbox on this machine",
            why=words,
            remedy=_cure(settings),
        )
    return program, version


def _read_version(program: str) -> str:
    text = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT
    ).stdout
    match = re.search(r"(\d+)\.(\d+)(\.\d+)*", text)
    if match is None or (int(match[1]), int(match[2])) < _OLDEST:
        raise EngineError(
            "engine bubblewrap is too old on this machine",
            why=f"{program} says {text.strip()!r}; 0.8 or newer is needed",
            remedy=f"{install_command('bwrap')} on a newer release, or use docker or podman",
        )
    return match[0]


def _probe(program: str) -> str:
    """Start the smallest sandbox; what bubblewrap says if it fails, empty if it works."""
    done = subprocess.run(
        [program, *_PROBE, "--", "/bin/sh", "-c", ":"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=_PROBE_TIMEOUT,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _cure(settings: Path) -> str:
    if cure := allowing_namespaces(settings):
        return cure
    return (
        "if this is a container, it must be allowed to make user namespaces "
        "(docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined); else use the engine docker or podman"
    )
