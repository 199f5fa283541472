"""What every container of ours is made with: labels that say whose it is, and limits; and its end.

By the labels what a killed run left behind is found and removed.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from docker import APIClient
from docker.errors import APIError, NotFound
from docker.types import Ulimit

from pytest_manylinux.host.subprocesses import start_time

LABEL = "pytest-manylinux"
"""The label that every container of ours carries; the others begin with it."""

_REMOVAL_TIMEOUT = 30.0
_CONFLICT = 409  # its removal is under way already, by the daemon or by another run
_OPEN_FILES = 1024  # the soft limit that a login on a distro gives


@lru_cache(maxsize=1)
def _machine() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname(), boot


def owner_labels(label: str) -> dict[str, str]:
    """Labels that name this process as the owner; `label` is for people."""
    host, boot = _machine()
    pid = os.getpid()
    return {
        LABEL: label or "sandbox",
        f"{LABEL}.host": host,
        f"{LABEL}.boot": boot,
        f"{LABEL}.pid": str(pid),
        f"{LABEL}.started": str(start_time(pid)),
    }


def owner_is_gone(labels: Mapping[str, str]) -> bool:
    """Whether the owner that `labels` names ran on this machine and has ended.

    What another machine owns is never said to be gone: its processes cannot be seen from here.
    """
    host, boot = _machine()
    if labels.get(f"{LABEL}.host") != host:
        return False
    if labels.get(f"{LABEL}.boot") != boot:
        return True
    try:
        pid, started = int(labels[f"{LABEL}.pid"]), int(labels[f"{LABEL}.started"])
    except (KeyError, ValueError):
        return False
    return start_time(pid) != started


def remove_container(api: APIClient, container: str) -> None:
    """Have it removed, and wait until the daemon does not list it any more.

    Podman (4.3) says that it is removed a moment before it is. Docker (20.10), when it removes the
    container at the same time by itself, first says that there is none and then lists it as dead.
    Raises docker.errors.APIError if the daemon cannot remove it.
    """
    end = time.monotonic() + _REMOVAL_TIMEOUT
    while time.monotonic() < end:
        try:
            api.remove_container(container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != _CONFLICT:
                raise
        if not api.containers(all=True, filters={"id": container}):
            return
        time.sleep(0.02)


def ulimits() -> Iterator[Ulimit]:
    """What containers may take of open files and processes, said so that it can be had everywhere."""
    yield Ulimit(name="core", soft=0, hard=0)
    yield Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES)
    # `pids_limit` is what counts; but unasked Podman takes a figure that a machine without
    # CAP_SYS_RESOURCE cannot give, its own service having lowered its limit to this one.
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    ours = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = most if ours == resource.RLIM_INFINITY else min(ours, most)
    yield Ulimit(name="nproc", soft=most, hard=most)
