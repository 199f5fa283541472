"""System calls of Linux by the kernel that brought them, and the functions of glibc that make them.

Versions and numbers are those of x86_64 in libseccomp's table of Linux 6.16 (its src/syscalls.csv at
031024addec2, 2025-08-26); another architecture may have got a call later. From 424 on numbers are the
same everywhere. Older calls than Linux 3.14's are left out: every kernel in use has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_manylinux.errors import UsageError

SOURCE = "libseccomp's table of Linux 6.16"
"""What the versions stand in, for people."""

SAME_EVERYWHERE = 424
"""The first number that a call has on every architecture (asm-generic/unistd.h)."""

DISTRO_KERNEL = "distro"
"""The word for the kernel of each distro's row, where a version may stand."""

KernelVersion = tuple[int, int]
_KERNEL = re.compile(r"(?P<major>[1-9]\d?)\.(?P<minor>\d{1,3})")
_TABLE = """
    3.14: sched_setattr=314 sched_getattr=315
    3.15: renameat2=316
    3.17: seccomp=317 getrandom=318 memfd_create=319
    3.18: kexec_file_load=320 bpf=321
    3.19: execveat=322
    4.3: userfaultfd=323 membarrier=324
    4.4: mlock2=325
    4.5: copy_file_range=326
    4.6: preadv2=327 pwritev2=328
    4.9: pkey_mprotect=329 pkey_alloc=330 pkey_free=331
    4.11: statx=332
    4.18: io_pgetevents=333 rseq=334
    5.1: pidfd_send_signal=424 io_uring_setup=425 io_uring_enter=426 io_uring_register=427
    5.2: open_tree=428 move_mount=429 fsopen=430 fsconfig=431 fsmount=432 fspick=433
    5.3: pidfd_open=434 clone3=435
    5.6: openat2=437 pidfd_getfd=438
    5.8: faccessat2=439
    5.9: close_range=436
    5.10: process_madvise=440
    5.11: epoll_pwait2=441
    5.12: mount_setattr=442
    5.13: landlock_create_ruleset=444 landlock_add_rule=445 landlock_restrict_self=446
    5.14: quotactl_fd=443 memfd_secret=447
    5.15: process_mrelease=448
    5.16: futex_waitv=449
    5.17: set_mempolicy_home_node=450
    6.5: cachestat=451
    6.6: fchmodat2=452 map_shadow_stack=453
    6.7: futex_wake=454 futex_wait=455 futex_requeue=456
    6.8: statmount=457 listmount=458 lsm_get_self_attr=459 lsm_set_self_attr=460
      lsm_list_modules=461
    6.10: mseal=462
    6.13: setxattrat=463 getxattrat=464 listxattrat=465 removexattrat=466
    6.15: open_tree_attr=467
"""


def _read() -> tuple[dict[str, KernelVersion], dict[str, int]]:
    since: dict[str, KernelVersion] = {}
    numbers: dict[str, int] = {}
    version = (0, 0)
    for word in _TABLE.split():
        name, _, number = word.partition("=")
        if number:
            since[name], numbers[name] = version, int(number)
        else:
            major, _, minor = word.rstrip(":").partition(".")
            version = int(major), int(minor)
    return since, numbers


FIRST_KERNEL: Mapping[str, KernelVersion]
"""A call's name to the first kernel that has it."""
CALL_NUMBERS: Mapping[str, int]
"""A call's name to its number on x86_64."""
FIRST_KERNEL, CALL_NUMBERS = _read()

# Functions of glibc that give the call and nothing else: an older kernel's ENOSYS comes back to the
# caller (glibc 2.41, sysdeps/unix/sysv/linux: syscalls.list and the files of these names). Left out are
# those that glibc does in another way then: statx, preadv2, pwritev2, closefrom, faccessat, fchmodat.
_WRAPPED = """
sched_setattr sched_getattr renameat2 getrandom memfd_create execveat mlock2 copy_file_range
pkey_alloc pkey_free pidfd_send_signal pidfd_open pidfd_getfd open_tree move_mount fsopen fsconfig
fsmount fspick close_range process_madvise epoll_pwait2 mount_setattr process_mrelease
"""
WRAPPERS: Mapping[str, str] = {**{name: name for name in _WRAPPED.split()}, "getentropy": "getrandom"}
"""A function of glibc's to the call that it makes, without another way on older kernels."""


def parse_kernel(text: str, where: str) -> KernelVersion:
    """A version such as `4.18`; raises UsageError for any other text."""
    match = _KERNEL.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{where}: {text!r} is not the version of a kernel", remedy="write it like 4.18 or 5.15"
        )
    return int(match["major"]), int(match["minor"])


def kernel_number(version: KernelVersion) -> str:
    """As people write it: `4.18`."""
    return f"{version[0]}.{version[1]}"


def younger_calls(version: KernelVersion) -> tuple[str, ...]:
    """The names of the calls that a kernel of that version does not have, the oldest first."""
    return tuple(name for name, since in FIRST_KERNEL.items() if since > version)
