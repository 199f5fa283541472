"""The architecture of this machine, and cibuildwheel's words for others."""

from __future__ import annotations

import platform
from collections.abc import Iterable

# platform.machine() of the kernel -> the word in platform tags (PEP 600: what `uname -m` gives,
# but i386 to i586 are called i686).
_MACHINES = {"i386": "i686", "i486": "i686", "i586": "i686", "amd64": "x86_64", "arm64": "aarch64"}


def host_arch() -> str:
    """This machine's architecture as in platform tags."""
    machine = platform.machine().lower()
    return _MACHINES.get(machine, machine)


# Those that platform tags of manylinux exist for (auditwheel's policies).
ARCHITECTURES = (
    *("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64", "loongarch64"),
)
# As cibuildwheel's option `archs` has them.
ARCHITECTURE_WORDS = ("auto", "native", "all", "auto64", "auto32")
_SISTERS = {"x86_64": "i686", "aarch64": "armv7l"}


def sister_of(arch: str) -> str:
    """The 32-bit architecture that processors of a 64-bit one usually run too; empty if none."""
    return _SISTERS.get(arch, "")


def named_architectures(words: Iterable[str]) -> tuple[str, ...]:
    """What the words mean on this machine, each once; `auto` is this machine's own."""
    own = host_arch()
    meaning = {
        "auto": (own,),
        "native": (own,),
        "all": ARCHITECTURES,
        "auto64": (own,),
        "auto32": (sister_of(own) or own,),
    }
    return tuple(dict.fromkeys(arch for word in words for arch in meaning.get(word, (word,))))
