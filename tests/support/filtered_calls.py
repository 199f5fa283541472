"""Make system calls without and with a filter, and print how each ended, as JSON.

    python filtered_calls.py ABI PROGRAM CALLS

ABI is `X86_64` (the instruction `syscall`) or `X86` (`int 0x80`, as 32-bit programs do); PROGRAM a
filter in hexadecimal; CALLS a JSON object of numbers by name. Every argument is -1, with which no call
has an effect, and root's rights are dropped first. Standard library only, x86_64 only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_NOBODY = 65534
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_BY_INTERRUPT = bytes.fromhex(  # long call(long number, long first): all others are -1
    "53"  # push rbx
    "55"  # push rbp
    "89f8"  # mov eax, edi
    "89f3"  # mov ebx, esi
    "83c9ff83caff83ceff83cfff83cdff"  # or ecx, edx, esi, edi, ebp with -1
    "cd80"  # int 0x80
    "4898"  # cdqe
    "5d5bc3"  # pop rbp; pop rbx; ret
)
_Call = Callable[[int, int], int]


class _Filter(ctypes.Structure):
    """`struct sock_fprog` (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _by_interrupt() -> _Call:
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(_BY_INTERRUPT)
    first_byte = ctypes.c_char.from_buffer(code)
    made = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_long)(ctypes.addressof(first_byte))

    def call(number: int, first: int, _kept: object = first_byte) -> int:
        return int(made(number, first))

    return call


def _by_syscall(number: int, first: int) -> int:
    minus = ctypes.c_long(-1)
    done = _LIBC.syscall(ctypes.c_long(number), ctypes.c_long(first), *[minus] * 5)
    return -ctypes.get_errno() if done == -1 else done


def _end(call: _Call, number: int, first: int = -1) -> str:
    """How a call ends, in a child: what is allowed may change the process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        result = call(number, first)
        os.write(writing, (errno.errorcode.get(-result, "?") if result < 0 else "done").encode())
        os._exit(0)
    os.close(writing)
    status = os.waitpid(child, 0)[1]
    said = os.read(reading, 64).decode()
    os.close(reading)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said


def _vsock() -> str:
    try:
        socket.socket(40, socket.SOCK_STREAM).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _thread() -> str:
    said: list[str] = []
    thread = threading.Thread(target=said.append, args=("done",))
    thread.start()
    thread.join()
    return said[0]


def _ends(call: _Call, calls: dict[str, int]) -> dict[str, str]:
    ends = {name: _end(call, number) for name, number in calls.items()}
    with socket.socket() as one:
        ends["a socket"] = "done" if one.fileno() > 0 else ""
    return {
        **ends,
        "a thread": _thread(),
        "a process": subprocess.check_output(["echo", "done"], text=True).strip(),
        "clone3": _end(call, 435),
        "getpid": _end(call, 39 if call is _by_syscall else 20),
        "x32": _end(_by_syscall, 0x40000000 | 39),
        "vsock": _vsock(),
    }


def main(abi: str, program: bytes, calls: dict[str, int]) -> None:
    """Print `{name: [end without the filter, end with it]}`."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    call = _by_interrupt() if abi == "X86" else _by_syscall
    before = _ends(call, calls)
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    words = _Filter(len(program) // 8, program)
    if _LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(words), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")
    after = _ends(call, calls)
    print(json.dumps({name: [before[name], after[name]] for name in before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], bytes.fromhex(sys.argv[2]), json.loads(sys.argv[3]))
