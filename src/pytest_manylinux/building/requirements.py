"""Installing a project's build requirements, and whose fault it is if that fails."""

from __future__ import annotations

import re
from typing import Protocol

from pytest_manylinux.building.steps import BuildSteps, TimeOverError
from pytest_manylinux.engines.api import Completed
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.indexes import OUT_OF_REACH

_SPOILT = re.compile(r"incomplete-download|not enough bytes were received|DO NOT MATCH THE HASHES")
_NOT_FOUND = re.compile(r"No matching distribution found for (\S+)")
_NOTHING_FOUND = "(from versions: none)"
# pip's words for steps that run the code of what exists only as an sdist, and for the end of each.
_FOREIGN_CODE = re.compile(
    r"(?:Getting requirements to build |Preparing (?:\w+ )?metadata|Building wheel for |"
    r"Running setup\.py ).*: (?P<state>started|finished|still running)"
)


class Pip(Protocol):
    """Runs the installation, with further options of `pip install`."""

    def __call__(self, *options: str) -> Completed:
        """Run it to its end."""


def install_requirements(bench: BuildSteps, pip: Pip, *, network: bool) -> None:
    """Install, or raise BuildError.

    ToolchainError where the index is out of reach, what it sends is not what it should be, or does not
    come before the build's time is over; and where, without `network`, something is not at hand.
    """
    try:
        _install(bench, pip, network=network)
    except TimeOverError as error:
        if not network or _runs_foreign_code(bench.log.step()):
            raise
        raise _too_slow(bench, error) from error


def _install(bench: BuildSteps, pip: Pip, *, network: bool) -> None:
    log = bench.log
    done = pip()
    if done.ok:
        return
    if not network:
        raise _not_at_hand(bench) or bench.failure("its build requirements cannot be installed", done)
    if _NOTHING_FOUND in log.tail(100):  # pip tells of refused connections only if asked to
        done = pip("-vv")
        if done.ok:
            return
    if unreached := _unreached(log.tail(400)):
        raise ToolchainError(
            f"{bench.what}: the package index is out of reach",
            why=unreached,
            remedy="see that pip on this machine reaches its index, then run again",
        )
    if _SPOILT.search(log.tail(400)):
        raise ToolchainError(
            f"{bench.what}: what the package index sent is not whole",
            why=log.decisive(),
            remedy="see that pip on this machine gets it whole from its index, then run again",
        )
    raise bench.failure("its build requirements cannot be installed", done)


def _runs_foreign_code(text: str) -> bool:
    """Whether pip was making a build requirement from its source, not waiting for the index."""
    states = [match["state"] for match in _FOREIGN_CODE.finditer(text)]
    return bool(states) and states[-1] != "finished"


def _too_slow(bench: BuildSteps, error: TimeOverError) -> ToolchainError:
    said = bench.log.step().strip().splitlines()
    return ToolchainError(
        f"{error.what}; what it requires had not come from the package index by then",
        why=f"pip's last words: {said[-1].strip()}" if said else "pip wrote nothing",
        remedy="see that pip on this machine gets it from its index in good time, then run again; "
        f"or raise build-timeout; the whole log is {bench.log.path}",
    )


def _unreached(text: str) -> str:
    """What pip says of the connection, on one line: with -vv its errors come with a traceback."""
    lines = [line.strip() for line in text.splitlines() if OUT_OF_REACH.search(line)]
    final = [line for line in lines if line.startswith("Could not fetch URL")]
    return (final or lines or [""])[-1].removeprefix("× ")  # noqa: RUF001 - how pip begins an error


def _not_at_hand(bench: BuildSteps) -> ToolchainError | None:
    """The error for what only a network could bring; None if the log speaks of something else."""
    text = bench.log.tail(400)
    found = _NOT_FOUND.search(text)
    if found is None and not OUT_OF_REACH.search(text):
        return None
    wanted = found[1] if found else "a build requirement"
    return ToolchainError(
        f"{bench.what}: {wanted} is not at hand, and this build has no network",
        why=bench.log.decisive(),
        remedy="put wheels of what the build requires, and of what that requires, into a folder "
        f"(`pip download --dest FOLDER '{found[1] if found else 'NAME'}'`), and name it for pip: "
        "PIP_FIND_LINKS=FOLDER; or set build-network = host",
    )
