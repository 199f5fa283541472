"""Which system calls a bubblewrap sandbox may not make: a filter for the kernel (seccomp(2)).

The list is what Docker's default profile keeps from a container without capabilities
(github.com/moby/moby, profiles/seccomp/default.json), so that code finds the same world in every
engine, with these differences: what reads or sets a process's own memory policy, and `kcmp` and
`process_madvise` on processes of its own, stay allowed (numerical libraries ask, and nothing outside
is reached); sockets of the family AF_VSOCK, which lead to a virtual machine's host whatever the
network namespace, do not. 32-bit x86 programs may still make those by `socketcall`, whose arguments
no filter sees.

Numbers of calls are the kernel's own (its headers asm/unistd_64.h, asm/unistd_32.h,
asm-generic/unistd.h and, for arm, arch/arm/tools/syscall.tbl).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # linux/seccomp.h
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _JUMP, _RETURN = (
    0x20,
    0x15,
    0x35,
    0x45,
    0x05,
    0x06,
)  # linux/bpf_common.h
_NUMBER, _ARCH, _FIRST_ARGUMENT, _FOURTH_ARGUMENT = (
    0,
    4,
    16,
    40,
)  # offsets in struct seccomp_data, little-endian
_X32 = 0x40000000  # the bit of x86_64's calls with 32-bit pointers, which no distro of ours uses
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW… of clone(2)
_AF_VSOCK = 40
_MS_RDONLY, _MS_REMOUNT = 1, 32  # flags of mount(2)
_OF_FORK_SERVERS = frozenset({"mount", "unshare"})
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Abi:
    """A set of call numbers: its name for the kernel (linux/audit.h), its column in _DENIED."""

    arch: int
    column: int
    clone: int
    clone3: int
    socket: int
    x32: bool = False


_X86_64 = _Abi(arch=0xC000003E, column=0, clone=56, clone3=435, socket=41, x32=True)
_I386 = _Abi(arch=0x40000003, column=1, clone=120, clone3=435, socket=359)
_AARCH64 = _Abi(arch=0xC00000B7, column=2, clone=220, clone3=435, socket=198)
_RISCV64 = _Abi(arch=0xC00000F3, column=2, clone=220, clone3=435, socket=198)
_ARM = _Abi(arch=0x40000028, column=3, clone=120, clone3=435, socket=281)

_ABIS = {
    "x86_64": (_X86_64, _I386),
    "i686": (_I386,),
    "aarch64": (_AARCH64, _ARM),
    "armv7l": (_ARM,),
    "riscv64": (_RISCV64,),
}
"""What a kernel understands, by `uname -m`."""

# By name: the number on x86_64, i386, the architectures of the generic table, arm.
_DENIED: dict[str, tuple[int | None, int | None, int | None, int | None]] = {
    "_sysctl": (156, 149, None, None),
    "acct": (163, 51, 89, 51),
    "add_key": (248, 286, 217, 309),
    "bpf": (321, 357, 280, 386),
    "chroot": (161, 61, 51, 61),
    "clock_adjtime": (305, 343, 266, 372),
    "clock_adjtime64": (None, 405, None, 405),
    "clock_settime": (227, 264, 112, 262),
    "clock_settime64": (None, 404, None, 404),
    "create_module": (174, 127, None, None),
    "delete_module": (176, 129, 106, 129),
    "fanotify_init": (300, 338, 262, 367),
    "finit_module": (313, 350, 273, 379),
    "fsconfig": (431, 431, 431, 431),
    "fsmount": (432, 432, 432, 432),
    "fsopen": (430, 430, 430, 430),
    "fspick": (433, 433, 433, 433),
    "get_kernel_syms": (177, 130, None, None),
    "init_module": (175, 128, 105, 128),
    "io_uring_enter": (426, 426, 426, 426),
    "io_uring_register": (427, 427, 427, 427),
    "io_uring_setup": (425, 425, 425, 425),
    "ioperm": (173, 101, None, None),
    "iopl": (172, 110, None, None),
    "kexec_file_load": (320, None, 294, 401),
    "kexec_load": (246, 283, 104, 347),
    "keyctl": (250, 288, 219, 311),
    "lookup_dcookie": (212, 253, 18, 249),
    "migrate_pages": (256, 294, 238, 400),
    "mount": (165, 21, 40, 21),
    "mount_setattr": (442, 442, 442, 442),
    "move_mount": (429, 429, 429, 429),
    "move_pages": (279, 317, 239, 344),
    "nfsservctl": (180, 169, 42, None),
    "open_by_handle_at": (304, 342, 265, 371),
    "open_tree": (428, 428, 428, 428),
    "open_tree_attr": (467, 467, 467, 467),
    "perf_event_open": (298, 336, 241, 364),
    "pidfd_getfd": (438, 438, 438, 438),
    "pivot_root": (155, 217, 41, 218),
    "query_module": (178, 167, None, None),
    "quotactl": (179, 131, 60, 131),
    "quotactl_fd": (443, 443, 443, 443),
    "reboot": (169, 88, 142, 88),
    "request_key": (249, 287, 218, 310),
    "setdomainname": (171, 121, 162, 121),
    "sethostname": (170, 74, 161, 74),
    "setns": (308, 346, 268, 375),
    "settimeofday": (164, 79, 170, 79),
    "stime": (None, 25, None, None),
    "swapoff": (168, 115, 225, 115),
    "swapon": (167, 87, 224, 87),
    "sysfs": (139, 135, None, 135),
    "syslog": (103, 103, 116, 103),
    "umount": (None, 22, None, None),
    "umount2": (166, 52, 39, 52),
    "unshare": (272, 310, 97, 337),
    "uselib": (134, 86, None, None),
    "userfaultfd": (323, 374, 282, 388),
    "ustat": (136, 62, None, 62),
    "vhangup": (153, 111, 58, 111),
    "vm86": (None, 166, None, None),
    "vm86old": (None, 113, None, None),
}


def filter_of_this_machine(*, forks: bool = False) -> bytes:
    """The filter for the running kernel; empty where there is none for it, or it takes none.

    With `forks` that of a fork server, which see `filter_program`.
    """
    return filter_program(platform.machine(), forks=forks) if takes_filters() else b""


@functools.cache
def takes_filters() -> bool:
    """Whether the kernel takes filters: no program at all is a bad address to one that does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


def filter_program(machine: str, *, forks: bool = False) -> bytes:
    """A classic BPF program (an array of `struct sock_filter`) for kernels of a machine.

    `machine` is as `uname -m` says it. Empty for machines whose call numbers are not known here.
    Denied calls fail with EPERM; `clone3`, whose flags no filter can see, and x32's calls as if the
    kernel did not have them, so that C libraries take `clone` instead.

    A fork server (`forks`) may make namespaces by `unshare`, and mounts; but it can uncover nothing
    (umount) and make nothing writable that was mounted read-only: its interpreter is the image's.
    """
    if machine not in _ABIS:
        return b""
    program = [_instruction(_LOAD, _ARCH)]
    for abi in _ABIS[machine]:
        section = list(_section(abi, forks=forks))
        program += [_instruction(_EQUAL, abi.arch, 1, 0), _instruction(_JUMP, len(section)), *section]
    program.append(_instruction(_RETURN, _KILL))
    return b"".join(program)


def profile_of_fork_servers() -> dict[str, object]:
    """What `filter_program` with `forks` says, in the words of a container engine's profile.

    The form is that of the OCI runtime specification, "Seccomp", with Docker's `archMap`. A condition
    is one mask and one value, so that each bit for a namespace has a rule of its own.
    """

    def refused(names: list[str], error: int, *condition: dict[str, int | str]) -> dict[str, object]:
        rule: dict[str, object] = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error}
        return {**rule, "args": list(condition)} if condition else rule

    def masked(index: int, mask: int, value: int) -> dict[str, int | str]:
        return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}

    bits = [1 << bit for bit in range(32) if _NEW_NAMESPACES >> bit & 1]
    vsock: dict[str, int | str] = {"index": 0, "value": _AF_VSOCK, "op": "SCMP_CMP_EQ"}
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": [
            refused(sorted(_DENIED.keys() - _OF_FORK_SERVERS), _EPERM),
            refused(["clone3"], _ENOSYS),
            *(refused(["clone"], _EPERM, masked(0, bit, bit)) for bit in bits),
            refused(["mount"], _EPERM, masked(3, _MS_REMOUNT | _MS_RDONLY, _MS_REMOUNT)),
            refused(["socket"], _EAFNOSUPPORT, vsock),
        ],
    }


def _section(abi: _Abi, *, forks: bool) -> Iterator[bytes]:
    """The instructions for the calls of one ABI; every way through them ends in a return."""
    spared = _OF_FORK_SERVERS if forks else frozenset[str]()
    rows = [row for name, row in _DENIED.items() if name not in spared]
    denied = sorted({row[abi.column] for row in rows} - {None}, key=lambda n: n or 0)
    tests = [(_EQUAL, number, "denied") for number in denied if number is not None]
    mount = _DENIED["mount"][abi.column]
    tests += [(_EQUAL, mount, "mount")] if forks and mount is not None else []
    tests = [*([(_AT_LEAST, _X32, "absent")] if abi.x32 else []), *tests]
    tests += [
        (_EQUAL, abi.clone3, "absent"),
        (_EQUAL, abi.clone, "clone"),
        (_EQUAL, abi.socket, "socket"),
    ]
    ends = {"allowed": 0, "clone": 1, "socket": 4, "denied": 7, "absent": 8, "mount": 10}
    yield _instruction(_LOAD, _NUMBER)
    for place, (code, value, end) in enumerate(tests):
        yield _instruction(code, value, len(tests) - place - 1 + ends[end], 0)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_LOAD, _FIRST_ARGUMENT)
    yield _instruction(_ANY_BIT, _NEW_NAMESPACES, 4, 0)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_LOAD, _FIRST_ARGUMENT)
    yield _instruction(_EQUAL, _AF_VSOCK, 3, 0)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_RETURN, _ERRNO | _EPERM)
    yield _instruction(_RETURN, _ERRNO | _ENOSYS)
    yield _instruction(_RETURN, _ERRNO | _EAFNOSUPPORT)
    yield _instruction(_LOAD, _FOURTH_ARGUMENT)
    yield _instruction(_ANY_BIT, _MS_REMOUNT, 0, 1)
    yield _instruction(_ANY_BIT, _MS_RDONLY, 0, 1)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_RETURN, _ERRNO | _EPERM)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
