"""Installing a project's build requirements, and whose fault it is if that fails."""

from __future__ import annotations

import re
from typing import Protocol

from pytest_manylinux.build.workbench import Workbench
from pytest_manylinux.engines.api import Completed
from pytest_manylinux.errors import ToolchainError

_OUT_OF_REACH = re.compile(
    r"NewConnectionError|Connection (?:refused|reset|aborted|broken)|Name or service not known|"
    r"Temporary failure in name resolution|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"CERTIFICATE_VERIFY_FAILED|Max retries exceeded|Could not fetch URL.*connection error"
)
_NOTHING_FOUND = "(from versions: none)"


class Pip(Protocol):
    """Runs the installation, with further options of `pip install`."""

    def __call__(self, *options: str) -> Completed:
        """Run it to its end."""


def install_requirements(bench: Workbench, pip: Pip) -> None:
    """Install; raises ToolchainError if the index is out of reach, else BuildError."""
    log = bench.log
    done = pip()
    if done.ok:
        return
    if _NOTHING_FOUND in log.tail(100):  # pip tells of refused connections only if asked to
        done = pip("-vv")
        if done.ok:
            return
    if _OUT_OF_REACH.search(log.tail(400)):
        raise ToolchainError(
            f"{bench.what}: the package index is out of reach",
            why=log.decisive(),
            remedy="see that pip on this machine reaches its index, then run again",
        )
    raise bench.failure("its build requirements cannot be installed", done)
