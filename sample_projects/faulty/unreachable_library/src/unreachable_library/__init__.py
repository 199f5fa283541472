"""Numbers doubled by a library of a library."""

from unreachable_library._native import twice

__all__ = ["twice"]
