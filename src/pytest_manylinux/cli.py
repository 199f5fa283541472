"""The `pytest-manylinux` command."""

from __future__ import annotations


def main() -> int:
    """Run the command; returns its exit code."""
    return 0
