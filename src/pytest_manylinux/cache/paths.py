"""Where the cache is. Its parts are named by those who keep something there."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "PYTEST_MANYLINUX_CACHE"


def cache_root() -> Path:
    """The folder that the environment names, or else the user's own cache folder (platformdirs)."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else platformdirs.user_cache_path("pytest-manylinux")
