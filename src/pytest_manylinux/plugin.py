"""pytest hooks and options; nothing else. Heavy imports are inside, behind `--manylinux`."""

from __future__ import annotations
