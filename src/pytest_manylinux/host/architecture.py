"""The architecture of this machine, and programs of others on it: natively, or under qemu's user mode.

The kernel hands a program of another architecture to what is registered for it (binfmt_misc). Where
nothing is, Linux 6.7 and later let us register qemu in a user namespace of our own, without the
rights of root and without a change to the machine; sandboxes inside of it inherit that. Whether an
architecture works is not guessed: a program of a few instructions is run.
"""

from __future__ import annotations

import enum
import functools
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.host.subprocesses import install_command

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


X86_64_MODELS: Mapping[str, str] = {
    "x86-64-v1": "qemu64,-pni,-cx16,-lahf-lm,-svm",
    "x86-64-v2": "Nehalem",
}
"""qemu's models of processors that have what a level of the x86-64 psABI has, and nothing of the next.

qemu64 has SSE3, CMPXCHG16B and LAHF of the second level too, and SVM; Nehalem lacks AVX.
"""

_TIMEOUT = 60.0
_ALONE = ("-I", "-S", "-X", "utf8")  # nothing of the user's own
# Measured with qemu 7.2: a venv, its pip and one small wheel take 8 times (armv7l) to 16 times
# (ppc64le) the processor's time that they take natively.
_PATIENCE = 15
_WIDE = 64
_QEMU_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")
# Pointer authentication is done in software by the default processor of older releases, which makes
# Python seven times slower; the cheaper way of doing it came with 6.0, and 10.0 needs nothing.
_POINTERS_CHEAP = (10, 0, 0)
_CHEAP_POINTERS = "max,pauth-impdef=on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An architecture as ELF headers, qemu and its smallest program have it.

    `number` is e_machine, `flags` are e_flags, `ends` is machine code that ends with exit code 0.
    """

    qemu: str
    number: int
    ends: str
    bits: int = 64
    big_endian: bool = False
    flags: int = 0

    @property
    def _narrow(self) -> bool:
        return self.bits < _WIDE

    def header_of(self, kind: int) -> bytes:
        """The first 20 bytes of an ELF file of this architecture; `kind` is e_type."""
        order = ">" if self.big_endian else "<"
        identity = b"\x7fELF" + bytes((self.bits // 32, 2 if self.big_endian else 1, 1)) + bytes(9)
        return identity + struct.pack(f"{order}HH", kind, self.number)

    def program(self) -> bytes:
        """An executable that ends at once with exit code 0."""
        order, wide = (">" if self.big_endian else "<"), not self._narrow
        word, sizes = ("Q", (64, 56)) if wide else ("I", (52, 32))
        base, code = 0x10000, bytes.fromhex(self.ends)
        start, size = sum(sizes), sum(sizes) + len(code)
        head = struct.pack(
            f"{order}I{word}{word}{word}IHHHHHH",
            *(1, base + start, sizes[0], 0, self.flags, sizes[0], sizes[1], 1, 0, 0, 0),
        )
        readable = 5  # PF_R | PF_X
        if wide:
            load = struct.pack(f"{order}IIQQQQQQ", 1, readable, 0, base, base, size, size, 0x1000)
        else:
            load = struct.pack(f"{order}IIIIIIII", 1, 0, base, base, size, size, readable, 0x1000)
        return self.header_of(2) + head + load + code


# e_machine: the ELF specification and its supplements; system calls: the kernel's tables.
MACHINES = {
    "x86_64": Machine(qemu="x86_64", number=62, ends="31ffb83c0000000f05"),
    "i686": Machine(qemu="i386", number=3, bits=32, ends="31dbb801000000cd80"),
    "aarch64": Machine(qemu="aarch64", number=183, ends="000080d2a80b80d2010000d4"),
    "armv7l": Machine(qemu="arm", number=40, bits=32, flags=0x5000000, ends="0000a0e30170a0e3000000ef"),
    "ppc64le": Machine(qemu="ppc64le", number=21, flags=2, ends="010000380000603802000044"),
    "s390x": Machine(qemu="s390x", number=22, big_endian=True, ends="a72900000a01"),
    "riscv64": Machine(qemu="riscv64", number=243, ends="130500009308d00573000000"),
    "loongarch64": Machine(qemu="loongarch64", number=258, ends="040080020b74810200002b00"),
}


class Support(enum.Enum):
    """How programs of an architecture run on this machine."""

    NATIVE = "native"
    """By the processor."""
    REGISTERED = "registered"
    """By what the machine has registered with the kernel."""
    NAMESPACE = "namespace"
    """By qemu, which we register in a namespace of our own."""
    MISSING = "missing"
    """Not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """How an architecture runs here.

    `emulator` is qemu with its version, such as `qemu 7.2.22`, empty where the processor does it.
    `registration` is the line for binfmt_misc if we register it. `missing` says what is not there,
    and `remedy` what to type.
    """

    arch: str
    support: Support
    emulator: str = ""
    registration: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    remedy: str = ""

    @property
    def works(self) -> bool:
        """Whether programs run at all."""
        return self.support is not Support.MISSING

    @property
    def emulated(self) -> bool:
        """Whether something other than the processor runs them."""
        return self.support in {Support.REGISTERED, Support.NAMESPACE}


@functools.cache
def emulation_of(arch: str) -> Emulation:
    """How programs of `arch` run on this machine, as tried once a process."""
    if arch == host_arch():
        return Emulation(arch=arch, support=Support.NATIVE)
    machine = MACHINES.get(arch)
    if machine is None:
        return _missing(arch, f"no emulator of {arch} is known", f"run on a machine of {arch}")
    emulator = find_qemu(machine)
    if _runs(machine):
        # A processor's own 32-bit mode needs no emulator; anything else that works is registered.
        if _is_32_bit_sister(arch):
            return Emulation(arch=arch, support=Support.NATIVE)
        return _emulated(arch, Support.REGISTERED, emulator, "")
    return _in_namespace(arch, machine, emulator)


def allowed_time(seconds: float, arch: str) -> float:
    """The time limit for programs of `arch`, where `seconds` are the limit for the processor's own."""
    return seconds * _PATIENCE if emulation_of(arch).emulated else seconds


def _in_namespace(arch: str, machine: Machine, emulator: Qemu | None) -> Emulation:
    """With an emulator that we register."""
    if emulator is None:
        return _missing(
            arch,
            f"qemu's user mode for {machine.qemu} is not installed",
            install_command("qemu-user-static"),
        )
    registration = registration_of(machine, emulator.program)
    if _runs(machine, registration):
        return _emulated(arch, Support.NAMESPACE, emulator, registration)
    return _missing(
        arch,
        "this kernel lets only root register an emulator (others may since Linux 6.7)",
        "register qemu for the whole machine: install the package binfmt-support",
    )


def _missing(arch: str, missing: str, remedy: str) -> Emulation:
    return Emulation(arch=arch, support=Support.MISSING, missing=missing, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qemu:
    """qemu's user mode for one architecture."""

    program: Path
    version: tuple[int, int, int]

    @property
    def title(self) -> str:
        """As reports have it, such as `qemu 7.2.22`."""
        return f"qemu {'.'.join(map(str, self.version))}"


def find_qemu(machine: Machine) -> Qemu | None:
    """The static qemu for an architecture on PATH; a dynamic one would not start in a sandbox."""
    found = shutil.which(f"qemu-{machine.qemu}-static")
    if found is None:
        return None
    done = subprocess.run(
        [found, "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )
    match = _QEMU_VERSION.search(done.stdout)
    if match is None:
        return None
    return Qemu(program=Path(found), version=(int(match[1]), int(match[2]), int(match[3])))


def registration_of(machine: Machine, program: Path) -> str:
    """The line for binfmt_misc's `register` (Documentation/admin-guide/binfmt-misc.rst).

    P passes the name that the program was called by, F opens the emulator at once, so that it need
    not be in the sandbox. The mask lets any operating system's ABI byte through, and position
    independent executables, whose e_type is one more.
    """
    order = ">" if machine.big_endian else "<"
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + struct.pack(f"{order}HH", 0xFFFE, 0xFFFF)
    magic, masked = _escaped(machine.header_of(2)), _escaped(mask)
    return f":pytest-manylinux-{machine.qemu}:M::{magic}:{masked}:{program}:PF"


def registering(registration: str) -> tuple[str, ...]:
    """What a command is started by that is to be where an emulator is registered; empty without one."""
    main = Path(__file__).with_name("binfmt_main.py")
    return (sys.executable, *_ALONE, str(main), registration) if registration else ()


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def _emulated(arch: str, support: Support, qemu: Qemu | None, registration: str) -> Emulation:
    slow = arch == "aarch64" and qemu is not None and qemu.version < _POINTERS_CHEAP
    return Emulation(
        arch=arch,
        support=support,
        emulator=qemu.title if qemu else "an emulator",
        registration=registration,
        environment=(("QEMU_CPU", _CHEAP_POINTERS),) if slow else (),
    )


def _is_32_bit_sister(arch: str) -> bool:
    return (host_arch(), arch) in {("x86_64", "i686"), ("aarch64", "armv7l")}


def _runs(machine: Machine, registration: str = "") -> bool:
    """Whether its smallest program ends well, with an emulator registered in a namespace or without."""
    with tempfile.TemporaryDirectory(prefix="pytest-manylinux-") as folder:
        program = Path(folder, "program")
        program.write_bytes(machine.program())
        program.chmod(0o755)
        try:
            done = subprocess.run(
                [*registering(registration), str(program)],
                capture_output=True,
                check=False,
                timeout=_TIMEOUT,
                env={**os.environ},
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0
