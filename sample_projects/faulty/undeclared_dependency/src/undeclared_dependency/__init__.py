"""Compares version numbers."""

from packaging.version import Version


def newest(*versions: str) -> str:
    """The newest of some versions."""
    return max(versions, key=Version)
