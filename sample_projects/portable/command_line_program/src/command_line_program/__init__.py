"""Finds the program that this package brings."""

import sysconfig
from pathlib import Path


def program() -> Path:
    """Where pip put `checksum`."""
    return Path(sysconfig.get_path("scripts")) / "checksum"
