"""The second installer of a trial: the program uv, one for a whole run.

It is the user's own: on PATH, or of the distribution uv beside this one. The sandbox sees it as a file
of its own, without network and without the user's settings of it; uv never sees the host's Pythons.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.engines.api import Mount
from pytest_manylinux.errors import UsageError
from pytest_manylinux.pythons.standalone import find_uv
from pytest_manylinux.trials.request import INPUTS, UvSteps

_INSIDE = INPUTS / "uv"
# https://docs.astral.sh/uv/reference/cli/#uv-pip-install
# Bytecode is not compiled unless asked for; a source is no wheel, so that nothing is built.
_ALONE = ("--no-cache", "--offline", "--no-index", "--no-config", "--no-build")
_QUIET = ("--no-python-downloads", "--link-mode", "copy", "--color", "never", "--no-progress")
_ANSWERS = 60.0  # seconds that uv may take to say its version


@dataclass(frozen=True, slots=True, kw_only=True)
class UvProgram:
    """uv as a file, and the SHA-256 of that."""

    path: Path
    sha256: str

    def mount(self) -> Mount:
        """Where the sandbox has it."""
        return Mount(source=self.path, target=_INSIDE)

    def steps(self, what: tuple[str, ...], *, variant: bool = False) -> UvSteps:
        """What the agent is asked: to install `what`, a wheel with options on where others are.

        A wheel `variant` (PEP 825) is behind a preview feature.
        """
        preview = ("--preview-features", "wheel-variants") if variant else ()
        return UvSteps(program=str(_INSIDE), arguments=(*_ALONE, *_QUIET, *preview, *what))


def uv_program() -> UvProgram:
    """The uv of this machine. Raises UsageError if it is not installed, or does not start."""
    path = find_uv()
    if path is None:
        raise UsageError(
            'installer = ["pip", "uv"] needs uv, which is not installed',
            remedy="pip install uv, or leave the word uv out",
        )
    path = path.resolve()
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=_ANSWERS)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"{path} does not work as uv", why=str(error), remedy="install uv again: pip install uv"
        ) from error
    return UvProgram(path=path, sha256=file_digest(path))
