"""The filter for system calls: by reading it for every machine, and by making the calls on this one."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.engines import seccomp
from pytest_manylinux.engines.bubblewrap.engine import WITHOUT_FILTER, BubblewrapEngine
from pytest_manylinux.engines.seccomp import (
    DENIED,
    FAMILIES,
    Abi,
    filter_of_this_machine,
    filter_program,
    load_libseccomp,
    no_sync_program,
    profile_of_preloaded,
)
from pytest_manylinux.errors import EngineError

ALLOW, EPERM, ENOSYS, EAFNOSUPPORT = 0x7FFF0000, 0x50001, 0x50026, 0x50061
NUMBERS = range(600)
SOCKETS = {Abi.X86: 359, Abi.S390X: 359, Abi.S390: 359, Abi.PPC64LE: 326}  # `socketcall` is there too
NEWER = {"open_tree_attr": 467}  # what Debian 12's libseccomp does not know
CHILD = Path(__file__).parents[2] / "support/filtered_calls.py"


def run(program: bytes, abi: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: an interpreter of the instructions that filters have."""
    order = "<" if abi & 0x40000000 else ">"
    words = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack(f"{order}IIQ6Q", number, abi, 0, *words)
    place = value = 0
    while True:
        code, if_true, if_false, k = struct.unpack_from(f"{order}HBBI", program, place * 8)
        place += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            value = struct.unpack_from(f"{order}I", data, k)[0]
        elif code == 0x54:
            value &= k
        elif code == 0x05:
            place += k
        else:
            true = {0x15: value == k, 0x25: value > k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            place += if_true if true else if_false


def number_of(name: str, abi: int) -> int:
    """The number of a call there; negative if there is none."""
    if name in NEWER:
        return NEWER[name]
    return int(load_libseccomp().seccomp_syscall_resolve_name_arch(abi, name.encode()))


@pytest.mark.parametrize("abi", [abi for family in FAMILIES for abi in family])
@pytest.mark.parametrize("forks", [False, True])
def test_every_denied_call_is_denied_and_others_are_not(abi: Abi, *, forks: bool) -> None:
    if number_of("read", abi) == -1:
        pytest.skip(f"the libseccomp of this machine does not know {abi.name}")
    program = filter_program(next(family for family in FAMILIES if abi in family), forks=forks)
    spared = {"mount", "unshare"} if forks else set()
    denied = {number for name in DENIED - spared if (number := number_of(name, abi)) >= 0}
    assert len(denied) > 45
    absent = number_of("clone3", abi)
    for number in NUMBERS:
        expected = EPERM if number in denied else ENOSYS if number == absent else ALLOW
        assert run(program, abi, number) == expected, number


@pytest.mark.parametrize("abi", [abi for family in FAMILIES[:-1] for abi in family])
def test_arguments_decide_where_they_have_to(abi: Abi) -> None:
    abis = next(family for family in FAMILIES if abi in family)
    program, server = filter_program(abis), filter_program(abis, forks=True)
    clone, mount = number_of("clone", abi), number_of("mount", abi)
    before = (0,) if abi in {Abi.S390X, Abi.S390} else ()  # the new stack comes first there
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run(program, abi, clone, *before, flag | 17) == EPERM
    assert run(program, abi, clone, *before, 0x003D0F00) == ALLOW  # a thread
    assert [run(server, abi, mount, 0, 0, 0, flags) for flags in (32, 33, 4096, 0)] == [
        *(EPERM, ALLOW, ALLOW, ALLOW)  # MS_REMOUNT without MS_RDONLY makes writable
    ]
    unshare, of_users, of_mounts = number_of("unshare", abi), 0x10000000, 0x00020000
    emulated = filter_program(abis, forks=True, users=False)
    flags = (of_users, of_users | of_mounts, of_mounts)
    assert [run(server, abi, unshare, one) for one in flags] == [ALLOW, ALLOW, ALLOW]
    assert [run(emulated, abi, unshare, one) for one in flags] == [EPERM, EPERM, ALLOW]
    socket = SOCKETS.get(abi) or number_of("socket", abi)
    refused = ALLOW if abi in SOCKETS else EAFNOSUPPORT
    assert [run(program, abi, socket, family) for family in (40, 40 | 1 << 32, 2)] == [
        *(refused, refused, ALLOW)
    ]
    if abi in SOCKETS:
        assert run(program, abi, number_of("socketcall", abi), 1) == ALLOW


def test_calls_with_32_bit_pointers_are_not_there() -> None:
    program = filter_program(FAMILIES[0])
    for number in (0, 1, 165, 200, 513):
        assert run(program, Abi.X86_64, 0x40000000 | number) == ENOSYS


def test_only_calls_that_write_out_succeed_unmade() -> None:
    native = load_libseccomp().seccomp_arch_native()
    names = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range")
    numbers = {number_of(name, native) for name in names}
    answers = {number: run(no_sync_program(), native, number) for number in NUMBERS}
    assert {number for number, answer in answers.items() if answer == 0x50000} == numbers
    assert set(answers.values()) == {ALLOW, 0x50000}


def made(abi: Abi) -> dict[str, tuple[str, str]]:
    """Each denied call made in a child without rights: what it says without the filter, and with it."""
    calls = {name: number for name in sorted(DENIED) if (number := number_of(name, abi)) >= 0}
    done = subprocess.run(
        [sys.executable, "-I", CHILD, abi.name, filter_of_this_machine().hex(), json.dumps(calls)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {name: (before, after) for name, (before, after) in json.loads(done.stdout).items()}


@pytest.mark.skipif(
    load_libseccomp().seccomp_arch_native() != Abi.X86_64, reason="the calls are made in x86 code"
)
@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.X86])
def test_the_kernel_refuses_what_the_filter_says(abi: Abi) -> None:
    found = made(abi)
    if found["getpid"][0] == "SIGSEGV":
        pytest.skip("this kernel runs no 32-bit programs")
    special = ("a thread", "a process", "clone3", "x32", "vsock", "a socket", "getpid")
    ends = {name: found.pop(name)[1] for name in special}
    assert ends == {
        "a thread": "done",
        "a process": "done",
        "getpid": "done",
        "a socket": "done",
        "clone3": "ENOSYS",
        "x32": "ENOSYS",
        "vsock": "EAFNOSUPPORT",
    }
    assert {name: after for name, (_, after) in found.items() if after != "EPERM"} == {}
    assert sum(before != "EPERM" for before, _ in found.values()) > 25


def test_without_the_library_the_engine_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    load_libseccomp.cache_clear()
    filter_program.cache_clear()
    monkeypatch.setattr(seccomp, "LIBRARY", "libseccomp-that-is-not-there.so.2")
    monkeypatch.setattr(seccomp, "install_command", lambda package: f"install {package}")
    with pytest.raises(EngineError) as caught:
        BubblewrapEngine()
    assert caught.value.what == "engine bubblewrap needs libseccomp, which is not on this machine"
    assert "libseccomp-that-is-not-there.so.2" in caught.value.why
    assert caught.value.remedy == "install libseccomp"


def test_a_call_that_the_library_ought_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    filter_program.cache_clear()
    monkeypatch.setattr(seccomp, "DENIED", DENIED | {"call_of_a_made_up_name"})
    with pytest.raises(EngineError, match="newer libseccomp") as caught:
        filter_of_this_machine()
    assert "call_of_a_made_up_name" in caught.value.why
    filter_program.cache_clear()


def test_a_kernel_without_filters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BubblewrapEngine().caution == ""
    monkeypatch.setattr("pytest_manylinux.engines.bubblewrap.engine.takes_filters", lambda: False)
    assert BubblewrapEngine().caution == WITHOUT_FILTER


def test_a_containers_profile_says_what_the_filter_of_fork_servers_says() -> None:
    profile = profile_of_preloaded()
    rules = profile["syscalls"]
    assert isinstance(rules, list)
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    always = {name for rule in rules if "args" not in rule for name in rule["names"]}
    assert {"umount2", "setns", "pivot_root", "bpf", "mount_setattr", "clone3"} <= always
    assert always.isdisjoint({"mount", "unshare", "clone", "socket"})
    (mount,) = (rule for rule in rules if rule["names"] == ["mount"])
    (condition,) = mount["args"]
    # MS_REMOUNT without MS_RDONLY is refused: to make writable.
    assert [flags & condition["value"] == condition["valueTwo"] for flags in (32, 33, 4096, 0)] == [
        True,
        False,
        False,
        False,
    ]
    for place, key in ((0, "excludes"), (1, "includes")):
        clones = [rule for rule in rules if rule["names"] == ["clone"] and key in rule]
        assert sum(rule["args"][0]["value"] for rule in clones) == 0x7E020000  # each CLONE_NEW…
        assert {rule["args"][0]["index"] for rule in clones} == {place}
        assert {tuple(rule[key]["arches"]) for rule in clones} == {("s390", "s390x")}
    assert mount["errnoRet"] == errno.EPERM
