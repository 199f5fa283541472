"""Digests: one of Python's and one of our own."""

import hashlib

from bundled_crypto._digest import digest

__all__ = ["both", "digest"]


def both(text: bytes) -> tuple:
    """SHA-256 by Python's OpenSSL, and our own sum."""
    return hashlib.sha256(text).hexdigest(), digest(text)
