"""The filter for system calls: on this machine's kernel, and by reading it for the others."""

from __future__ import annotations

import platform
import struct
import subprocess
import sys

import pytest

from pytest_manylinux.engines.seccomp import _ABIS, _DENIED, filter_program, profile_of_fork_servers

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000

LOADED = """
import ctypes, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]
program = bytes.fromhex(sys.argv[1])
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, program)), 0, 0) == 0
"""


def filtered(program: str) -> str:
    """What a program prints that has loaded this machine's filter."""
    words = filter_program(platform.machine()).hex()
    return subprocess.run(
        [sys.executable, "-I", "-c", LOADED + program, words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def run(program: bytes, *, arch: int, number: int, argument: int = 0) -> int:
    """What the kernel would answer: an interpreter of the few instructions that the filter has."""
    data = struct.pack("<IIQQ", number, arch, 0, argument)
    place = value = 0
    while True:
        code, if_true, if_false, k = struct.unpack_from("<HBBI", program, place * 8)
        place += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            value = struct.unpack_from("<I", data, k)[0]
        elif code == 0x05:
            place += k
        else:
            true = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            place += if_true if true else if_false


@pytest.mark.parametrize("machine", _ABIS)
def test_every_denied_call_is_denied_and_others_are_not(machine: str) -> None:
    program = filter_program(machine)
    for abi in _ABIS[machine]:
        denied = {row[abi.column] for row in _DENIED.values()} - {None}
        assert len(denied) > 45
        for number in range(480):
            special = {abi.clone3: ENOSYS}.get(number, ALLOW)
            expected = EPERM if number in denied else special
            assert run(program, arch=abi.arch, number=number) == expected, number
        assert run(program, arch=abi.arch, number=abi.clone, argument=0x10000000) == EPERM
        assert run(program, arch=abi.arch, number=abi.clone, argument=0x003D0F00) == ALLOW
        assert run(program, arch=abi.arch, number=abi.socket, argument=40) == 0x50061
        assert run(program, arch=abi.arch, number=abi.socket, argument=2) == ALLOW


def test_calls_of_other_architectures_kill() -> None:
    assert run(filter_program("x86_64"), arch=0xC00000B7, number=1) == KILL
    assert run(filter_program("x86_64"), arch=0xC000003E, number=0x40000001) == ENOSYS


def test_a_machine_with_unknown_numbers_has_no_filter() -> None:
    assert filter_program("pdp11") == b""


def test_the_kernel_takes_it() -> None:
    program = """
import errno, threading
def attempt(call, *words):
    libc.syscall(call, *words)
    print(errno.errorcode.get(ctypes.get_errno()))
numbers = {"x86_64": (250, 272, 239), "aarch64": (219, 97, 236)}
keyctl, unshare, policy = numbers[__import__("platform").machine()]
attempt(keyctl, 0, -3, 0)
attempt(unshare, 0x10000000)
print(libc.syscall(policy, 0, 0, 0, 0, 0))
try:
    socket.socket(40, socket.SOCK_STREAM)
except OSError as error:
    print(errno.errorcode[error.errno])
thread = threading.Thread(target=print, args=("a thread",)); thread.start(); thread.join()
print(__import__("subprocess").run(["echo", "a process"], capture_output=True).stdout.decode().strip())
"""
    found = filtered(program).splitlines()
    assert found == ["EPERM", "EPERM", "0", "EAFNOSUPPORT", "a thread", "a process"]


def test_a_containers_profile_says_what_the_filter_of_fork_servers_says() -> None:
    profile = profile_of_fork_servers()
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
    bits = [rule["args"][0]["value"] for rule in rules if rule["names"] == ["clone"]]
    assert sum(bits) == 0x7E020000  # each CLONE_NEW… of clone(2)
