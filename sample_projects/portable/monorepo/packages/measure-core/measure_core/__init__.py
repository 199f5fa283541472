"""Sums, for Python and, through a capsule, for C."""

from pathlib import Path

from measure_core._core import total

__all__ = ["get_include", "total"]


def get_include():
    """The folder of measure_core.h."""
    return str(Path(__file__).parent)
