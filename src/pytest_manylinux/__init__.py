"""Prove that a Python wheel works on the Linux its users run, before it is uploaded."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
