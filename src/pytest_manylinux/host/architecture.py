"""The architecture of this machine."""

from __future__ import annotations

import platform

# platform.machine() of the kernel -> the word in platform tags (PEP 600: what `uname -m` gives,
# but i386 to i586 are called i686).
_MACHINES = {"i386": "i686", "i486": "i686", "i586": "i686", "amd64": "x86_64", "arm64": "aarch64"}


def host_arch() -> str:
    """This machine's architecture as in platform tags."""
    machine = platform.machine().lower()
    return _MACHINES.get(machine, machine)
