"""Imports on a lesser processor than this machine's: x86-64-v1 or v2, by qemu's user mode.

The tag x86_64 promises every 64-bit x86 processor, and only a note of some files says that they ask for
more. The agent starts the interpreters that import under `qemu-x86_64-static -cpu`; pip, the loader's
words and all else is this machine's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from pytest_manylinux.engines.api import Mount
from pytest_manylinux.errors import EngineError
from pytest_manylinux.host.architecture import MACHINES, X86_64_MODELS, Qemu, find_qemu, host_arch
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.trials.request import INPUTS

PATIENCE = 15
"""Times the time limits. By qemu 7.2 an import takes 10 to 12 times the processor's time."""

_ARCH = "x86_64"
_INSIDE = INPUTS / "qemu"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedProcessor:
    """A level of x86-64, and the qemu that gives it."""

    level: str
    qemu: Qemu

    @property
    def title(self) -> str:
        """As reports have it: `x86-64-v1 (qemu 7.2.22)`."""
        return f"{self.level} ({self.qemu.title})"

    @property
    def command(self) -> tuple[str, ...]:
        """What stands before a command line inside the sandbox."""
        return (str(_INSIDE), "-cpu", X86_64_MODELS[self.level])

    def mount(self) -> Mount:
        """Where the sandbox has it."""
        return Mount(source=self.qemu.program.resolve(), target=_INSIDE)


@functools.cache
def emulated_processor(level: str) -> EmulatedProcessor:
    """The emulation of a level. Raises EngineError where this machine has none."""
    what = f"processor = {level} is not possible here"
    if host_arch() != _ARCH:
        why = f"this machine is of {host_arch()}, and has to be of {_ARCH}"
        raise EngineError(what, why=why, remedy="leave the setting processor out on this machine")
    qemu = find_qemu(MACHINES[_ARCH])
    if qemu is None:
        raise EngineError(
            what,
            why="qemu-x86_64-static is not installed",
            remedy=f"install it: {install_command('qemu-user-static')}",
        )
    return EmulatedProcessor(level=level, qemu=qemu)
