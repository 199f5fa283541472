"""Whose a container or folder is, so that what a killed run left behind can be told and removed."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pytest_manylinux.host.subprocesses import start_time

LABEL = "pytest-manylinux"
"""The label that every container of ours carries; the others begin with it."""


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
