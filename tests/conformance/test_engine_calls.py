"""System calls that no engine lets through, and those that only a sandbox's own world is told by."""

from __future__ import annotations

import pytest
from sandboxes import lines, python, sh

from pytest_manylinux.engines.api import Engine, Sandbox

# Names, numbers on x86_64 and by the generic table (aarch64), arguments that an ordinary user's call
# would come through with, or fail with something else than a refusal.
CALLS = {
    "add_key": (248, 217, "b'user', b'x', b'y', 1, -3"),
    "keyctl": (250, 219, "0, -3, 0"),
    "unshare": (272, 97, "0x10000000"),
    "clone": (56, 220, "0x10000011, 0, 0, 0, 0"),
    "bpf": (321, 280, "0, 0, 0"),
    "perf_event_open": (298, 241, "0, 0, -1, -1, 0"),
    "userfaultfd": (323, 282, "1"),
    "open_by_handle_at": (304, 265, "-1, 0, 0"),
    "kexec_load": (246, 104, "0, 0, 0, 0"),
    "init_module": (175, 105, "0, 0, b''"),
    "mount": (165, 40, "b'x', b'/tmp', b'tmpfs', 0, 0"),
    "pivot_root": (155, 41, "b'/', b'/'"),
    "setns": (308, 268, "-1, 0"),
    "syslog": (103, 116, "10, 0, 0"),
}
# Podman 4.3's own profile: a container may have keys (its session is its own) and user namespaces.
ALLOWED = {"podman": {"keyctl", "unshare", "clone", "setns"}}

pytestmark = pytest.mark.attack("call")

ATTEMPT = """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
for name, (x86, generic, arguments) in %r.items():
    number = x86 if platform.machine() == "x86_64" else generic
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    result = libc.syscall(number, *eval("[" + arguments + "]"))
    if name != "clone" or result != 0:
        print(name, "came through" if result >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
    os._exit(0)
"""


def test_calls_that_only_harm_are_refused(engine: Engine, shared: Sandbox) -> None:
    found = dict(line.split(" ", 1) for line in lines(python(shared, ATTEMPT % CALLS)))
    let_through = {name for name, answer in found.items() if answer not in {"EPERM", "ENOSYS"}}
    assert found.keys() == CALLS.keys()
    assert let_through == ALLOWED.get(engine.name, set()), found


def test_a_filter_is_at_work(shared: Sandbox) -> None:
    """In commands, and in the sandbox's first process, which they could otherwise steer."""
    script = "for p in self 1; do grep '^Seccomp:' /proc/$p/status; done"
    assert lines(sh(shared, script)) == ["Seccomp:\t2"] * 2


ORDINARY = """
import asyncio, ctypes, multiprocessing, os, socket, threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
with multiprocessing.Pool(1) as pool: print("processes", pool.map(abs, [-1]))
async def run(): return await (await asyncio.create_subprocess_exec("true")).wait()
print("event loop", asyncio.run(run()))
one, other = socket.socketpair(); one.send(b"x"); print("sockets", other.recv(1))
os.sched_setaffinity(0, os.sched_getaffinity(0))
"""


def test_what_ordinary_code_does_goes_on(shared: Sandbox) -> None:
    found = lines(python(shared, ORDINARY))
    assert found == ["thread", "processes [1]", "event loop 0", "sockets b'x'"]
