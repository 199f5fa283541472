"""The engines that tests of the conformance suite run on, by the names of its fixture `where`."""

from __future__ import annotations

import pytest

NATIVE = ("bubblewrap", "docker", "podman")
EVERYWHERE = (
    *NATIVE,
    *(
        pytest.param(f"bubblewrap-{arch}", marks=pytest.mark.emulated)
        for arch in ("aarch64", "armv7l", "s390x")
    ),
)
"""Roots of other architectures too, under qemu: of 64 and 32 bits, of the other order of bytes."""
