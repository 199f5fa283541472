"""Which system calls code in a sandbox may not make: filters for the kernel, made by libseccomp.

The list is what Docker's default profile keeps from a container without capabilities
(github.com/moby/profiles, seccomp/default.json), so that code finds the same world in every engine,
with these differences: what reads or sets a process's own memory policy, or on POWER its own pages and
registers, and `kcmp` and `process_madvise` on processes of its own, stay allowed (numerical libraries
ask, and nothing outside is reached); sockets of the family AF_VSOCK, which lead to a virtual machine's
host whatever the network namespace, do not. Where `socketcall` exists (32-bit x86, s390x, POWER) they
may still be made: its arguments are behind a pointer, which no filter sees.

libseccomp knows the numbers of calls on each architecture. A program is a classic BPF one, an array
of `struct sock_filter` (seccomp(2)), and covers all that a kernel of this machine runs, 32-bit
programs included. The emulation of another architecture (qemu) makes the host's calls.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import functools
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_manylinux.errors import EngineError
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.model.system_calls import (
    CALL_NUMBERS,
    SAME_EVERYWHERE,
    KernelVersion,
    younger_calls,
)

LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # linux/seccomp.h
_ACT_BADARCH = 2  # enum scmp_filter_attr: the answer to calls of an architecture without rules
_MASKED_EQ = 7  # enum scmp_compare
_UNKNOWN = -1  # __NR_SCMP_ERROR of seccomp.h
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _EQUAL, _RETURN, _NUMBER = 0x20, 0x15, 0x06, 0  # linux/bpf_common.h; struct seccomp_data

_LITTLE_ENDIAN = 0x40000000  # __AUDIT_ARCH_LE of linux/audit.h
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW… of clone(2)
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_AF_VSOCK = 40
_MS_RDONLY, _MS_REMOUNT = 1, 32  # flags of mount(2)
_INT = 0xFFFFFFFF  # the kernel reads an `int` argument from these bits alone


class Abi(enum.IntEnum):
    """Sets of call numbers, by the kernel's AUDIT_ARCH_… (linux/audit.h), which libseccomp takes.

    Before the names stands `SCMP_ARCH_` in the OCI runtime specification.
    """

    X86_64 = 0xC000003E
    X86 = 0x40000003
    AARCH64 = 0xC00000B7
    ARM = 0x40000028
    PPC64LE = 0xC0000015
    S390X = 0x80000016
    S390 = 0x00000016
    RISCV64 = 0xC00000F3
    LOONGARCH64 = 0xC0000102


FAMILIES = (
    (Abi.X86_64, Abi.X86),
    (Abi.AARCH64, Abi.ARM),
    (Abi.PPC64LE,),
    (Abi.S390X, Abi.S390),
    (Abi.RISCV64,),
    (Abi.LOONGARCH64,),
)
"""The sets that one kernel understands, the 64-bit one first."""

_WITH_SOCKETCALL = frozenset({Abi.X86, Abi.PPC64LE, Abi.S390X, Abi.S390})
_FLAGS_OF_CLONE_SECOND = frozenset({Abi.S390X, Abi.S390})  # CONFIG_CLONE_BACKWARDS2 of the kernel

DENIED = frozenset(
    """
    _sysctl acct add_key bpf chroot clock_adjtime clock_adjtime64 clock_settime clock_settime64
    create_module delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl
    kexec_file_load kexec_load keyctl lookup_dcookie migrate_pages mount mount_setattr move_mount
    move_pages nfsservctl open_by_handle_at open_tree open_tree_attr pciconfig_iobase pciconfig_read
    pciconfig_write perf_event_open pidfd_getfd pivot_root query_module quotactl quotactl_fd reboot
    request_key rtas s390_guarded_storage s390_sthyi setdomainname sethostname setns settimeofday
    spu_create spu_run stime swapoff swapon sysfs syslog umount umount2 unshare uselib userfaultfd
    ustat vhangup vm86 vm86old
    """.split()  # noqa: SIM905 -- a table, and not 75 lines
)
"""What fails with EPERM whatever its arguments."""
_OF_PRELOADED = frozenset({"mount", "unshare"})
_WRITING_OUT = frozenset({"fsync", "fdatasync", "sync", "syncfs", "sync_file_range"})
_SINCE_LIBSECCOMP_2_5 = {
    name: number for name, number in CALL_NUMBERS.items() if number >= SAME_EVERYWHERE
}
"""Numbers of calls that a libseccomp in use may not know: the same on all that is in `Abi`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Calls that fail with `error` (0: succeed, not made) if `argument & mask == value`, or always."""

    names: frozenset[str]
    error: int
    argument: int | None = None
    mask: int = 0
    value: int = 0


class _ArgumentTest(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("compare", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def filter_of_this_machine(*, forks: bool = False, users: bool = True) -> bytes:
    """The program for the running kernel; empty if that takes none (`takes_filters`).

    Denied calls fail with EPERM; `clone3`, whose flags no filter can see, and x86_64's calls with
    32-bit pointers (x32) as if the kernel did not have them, so that C libraries take `clone` instead.

    A preloaded process (`forks`) may make namespaces by `unshare`, those of `users` included, and
    mounts; but it can uncover nothing (umount) and make nothing writable that was mounted read-only:
    its interpreter is the image's.

    Raises EngineError if libseccomp is missing.
    """
    program = filter_program(_family(), forks=forks, users=users)
    return program if takes_filters() else b""


@functools.cache
def takes_filters() -> bool:
    """Whether the kernel takes filters: no program at all is a bad address to one that does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


@functools.cache
def filter_program(abis: tuple[int, ...], *, forks: bool = False, users: bool = True) -> bytes:
    """What `filter_of_this_machine` says, for any machine: a program for these sets of numbers."""
    return _program({abi: _rules(abi, forks=forks, users=users) for abi in abis})


@functools.cache
def no_sync_program() -> bytes:
    """A program with which calls that write files out to the disk succeed at once, not made.

    Raises EngineError if libseccomp is missing.
    """
    return _program({abi: [_Rule(names=_WRITING_OUT, error=0)] for abi in _family()})


@functools.cache
def kernel_program(version: KernelVersion) -> bytes:
    """A program that answers calls younger than a kernel's version as that kernel does, with ENOSYS.

    All calls of model/system_calls.py that came later; those that are newer than its table go through.
    Raises EngineError if libseccomp is missing.
    """
    names = frozenset(younger_calls(version))
    return _program({abi: [_Rule(names=names, error=errno.ENOSYS)] for abi in _family()})


def profile_of_preloaded() -> dict[str, object]:
    """What `filter_program` with `forks` says, in the words of a container engine's profile.

    The form is that of the OCI runtime specification, "Seccomp", with Docker's `archMap`, `includes`
    and `excludes`. There is no rule for sockets: a profile's rules are for all of an architecture's
    sets of numbers, and libseccomp takes one on `socket` with a condition for one on all of
    `socketcall`. A run has the filter above besides, which has that rule.
    """
    swapped = sorted(abi.name.lower() for abi in _FLAGS_OF_CLONE_SECOND)
    usual = [rule for rule in _rules(Abi.X86_64, forks=True) if rule.names != {"socket"}]
    clone = [rule for rule in usual if rule.names == {"clone"}]
    others = [rule for rule in usual if rule.names != {"clone"}]
    clone_swapped = [rule for rule in _rules(Abi.S390X, forks=True) if rule.names == {"clone"}]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [
            {"architecture": _oci(first), "subArchitectures": [_oci(abi) for abi in rest]}
            for first, *rest in FAMILIES
        ],
        "syscalls": [
            *(_profile_rule(rule) for rule in others),
            *({**_profile_rule(rule), "excludes": {"arches": swapped}} for rule in clone),
            *({**_profile_rule(rule), "includes": {"arches": swapped}} for rule in clone_swapped),
        ],
    }


def _oci(abi: Abi) -> str:
    return f"SCMP_ARCH_{abi.name}"


def _profile_rule(rule: _Rule) -> dict[str, object]:
    words: dict[str, object] = {
        "names": sorted(rule.names),
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": rule.error,
    }
    if rule.argument is not None:
        condition = {"index": rule.argument, "value": rule.mask, "valueTwo": rule.value}
        words["args"] = [{**condition, "op": "SCMP_CMP_MASKED_EQ"}]
    return words


def _rules(abi: int, *, forks: bool, users: bool = True) -> list[_Rule]:
    rules = [
        _Rule(names=DENIED - (_OF_PRELOADED if forks else frozenset()), error=errno.EPERM),
        _Rule(names=frozenset({"clone3"}), error=errno.ENOSYS),
    ]
    flags = 1 if abi in _FLAGS_OF_CLONE_SECOND else 0
    bits = [1 << place for place in range(32) if _NEW_NAMESPACES >> place & 1]
    rules += [_when("clone", errno.EPERM, flags, bit, bit) for bit in bits]
    if forks:
        rules.append(_when("mount", errno.EPERM, 3, _MS_REMOUNT | _MS_RDONLY, _MS_REMOUNT))
    if forks and not users:
        rules.append(_when("unshare", errno.EPERM, 0, _NEW_USER, _NEW_USER))
    if abi not in _WITH_SOCKETCALL:
        rules.append(_when("socket", errno.EAFNOSUPPORT, 0, _INT, _AF_VSOCK))
    return rules


def _when(name: str, error: int, argument: int, mask: int, value: int) -> _Rule:
    return _Rule(names=frozenset({name}), error=error, argument=argument, mask=mask, value=value)


def _family() -> tuple[int, ...]:
    """What the running kernel understands: our own set of numbers, and those of its other programs."""
    native = load_libseccomp().seccomp_arch_native()
    return next((family for family in FAMILIES if native in family), (native,))


@functools.cache
def load_libseccomp() -> ctypes.CDLL:
    """The library. Raises EngineError if it is missing."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(
            "engine bubblewrap needs libseccomp, which is not on this machine",
            why=f"it makes the filter for system calls of every sandbox: {error}",
            remedy=install_command("libseccomp"),
        ) from None
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _program(rules_by_abi: Mapping[int, Sequence[_Rule]]) -> bytes:
    """One program with the rules of each set of numbers; all other calls are allowed."""
    library = load_libseccomp()
    whole, *others = [_context(library, abi, rules) for abi, rules in rules_by_abi.items()]
    try:
        for other in others:
            _check(library.seccomp_merge(whole, other), "seccomp_merge")
        return _newer_calls(library, rules_by_abi) + _exported(library, whole)
    finally:
        library.seccomp_release(whole)


def _context(library: ctypes.CDLL, abi: int, rules: Sequence[_Rule]) -> ctypes.c_void_p:
    """A `scmp_filter_ctx` for one set of numbers.

    Calls of another set are answered as if the kernel did not have them: of x32, on x86_64.
    """
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    native = library.seccomp_arch_native()
    _check(library.seccomp_attr_set(context, _ACT_BADARCH, _ERRNO | errno.ENOSYS), "seccomp_attr_set")
    if abi != native:
        _check(library.seccomp_arch_remove(context, native), "seccomp_arch_remove")
        _check(library.seccomp_arch_add(context, abi), f"seccomp_arch_add({abi:#x})")
    for rule, name in ((one, name) for one in rules for name in sorted(one.names)):
        if (number := _number(library, name)) is not None:  # libseccomp translates it for another ABI
            answer = _ERRNO | rule.error
            added = library.seccomp_rule_add_array(context, answer, number, *_condition(rule))
            _check(added, f"seccomp_rule_add_array({name})")
    return context


def _condition(rule: _Rule) -> tuple[int, ctypes.Array[_ArgumentTest] | None]:
    """How many conditions a rule has, and an array of them."""
    if rule.argument is None:
        return 0, None
    return 1, (_ArgumentTest * 1)(_ArgumentTest(rule.argument, _MASKED_EQ, rule.mask, rule.value))


def _number(library: ctypes.CDLL, name: str) -> int | None:
    """The number of a call here, negative for one of other architectures; none if it is too new.

    Raises EngineError for one that every libseccomp in use knows, and this one does not.
    """
    number: int = library.seccomp_syscall_resolve_name(name.encode())
    if number != _UNKNOWN:
        return number
    if name in _SINCE_LIBSECCOMP_2_5:
        return None
    raise EngineError(
        "engine bubblewrap needs a newer libseccomp",
        why=f"the one on this machine does not know the system call {name}; 2.5 does",
        remedy=install_command("libseccomp"),
    )


def _newer_calls(library: ctypes.CDLL, rules_by_abi: Mapping[int, Sequence[_Rule]]) -> bytes:
    """Instructions that answer calls which the library does not know, and go on for all others."""
    rules = {rule for rules in rules_by_abi.values() for rule in rules}
    unknown = {
        (_SINCE_LIBSECCOMP_2_5[name], rule.error)
        for rule in rules
        for name in rule.names
        if _number(library, name) is None
    }
    instructions = [(_LOAD, 0, 0, _NUMBER)] if unknown else []
    for number, error in sorted(unknown):
        instructions += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]
    order = "<" if all(abi & _LITTLE_ENDIAN for abi in rules_by_abi) else ">"
    return b"".join(struct.pack(f"{order}HBBI", *words) for words in instructions)


def _exported(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    with os.fdopen(os.memfd_create("filter"), "rb") as file:
        _check(library.seccomp_export_bpf(context, file.fileno()), "seccomp_export_bpf")
        file.seek(0)
        return file.read()


def _check(result: int, call: str) -> None:
    """Raise EngineError for a call of libseccomp that failed: it returns a negative errno."""
    if result < 0:
        raise EngineError(
            "no filter for system calls could be made", why=f"{call}: {os.strerror(-result)}"
        )
