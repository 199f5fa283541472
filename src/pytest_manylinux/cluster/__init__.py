"""Trials on other machines, done by a Dask cluster's workers: imported only when asked for.

Dask (https://distributed.dask.org) is an extra.
"""

from __future__ import annotations

import importlib.util
import logging

from pytest_manylinux.errors import UsageError


def require_library() -> None:
    """Raise UsageError if the extra is not installed."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(
            "a Dask cluster wants the library distributed, which is not installed",
            remedy='pip install "pytest-manylinux[dask]"',
        )


def quieten() -> None:
    """Keep Dask's log to itself: what matters of it is said in our own words."""
    import distributed  # noqa: F401, PLC0415 - it sets its log up when it is imported

    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
