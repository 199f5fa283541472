"""Engines that have fork servers: every run is in a sandbox as fresh as one of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from engine_names import EVERYWHERE
from sandboxes import OWN, eventually, processes_with

from pytest_manylinux.engines.api import (
    MIB,
    Command,
    Completed,
    Engine,
    Limits,
    Mount,
    Preloaded,
    PreloadingEngine,
    SandboxSpec,
    Status,
)
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.architecture import emulation_of

# Each run is what its input says; `ready` was made before.
CODE = """
ready = ["made once"]
def work():
    with open("/tmp/run.py") as file:
        exec(file.read(), {"ready": ready})
"""
PYTHON = "/usr/bin/python3"
OWNER = """
import base64, pickle, sys
from pathlib import PurePosixPath
from pytest_manylinux.engines.api import Mount
from pytest_manylinux.engines.select import select_engine
spec, code, program = pickle.loads(base64.b64decode(sys.argv[1]))
server = select_engine(sys.argv[2]).preload(spec, "/usr/bin/python3", code)
print("begun", flush=True)
server.run([Mount(source=program, target=PurePosixPath("/tmp/run.py"))], timeout=600)
"""

pytestmark = pytest.mark.parametrize("where", EVERYWHERE, indirect=True)


@pytest.fixture
def server(engine: PreloadingEngine, spec: SandboxSpec) -> Iterator[Preloaded]:
    server = engine.preload(spec, PYTHON, CODE)
    yield server
    server.close()


def perform(server: Preloaded, folder: Path, program: str, *, timeout: float = 120.0) -> Completed:
    (folder / "run.py").write_text(program)
    mounts = [Mount(source=folder / "run.py", target=PurePosixPath("/tmp/run.py"))]  # noqa: S108
    return server.run(mounts, timeout=timeout)


def said(completed: Completed) -> str:
    assert completed.ok, completed
    return completed.stdout.decode()


LOOK = """
import os, subprocess
for name in ("/", "/tmp", "/scratch", "/scratch/home", "/dev", "/dev/shm", "/proc/self/fd"):
    print(name, sorted(os.listdir(name)))
print(os.getcwd(), os.environ)
print(subprocess.run(SCRIPT, shell=True, capture_output=True, text=True).stdout)
"""
SCRIPT = r"""
id; grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups|Seccomp:)' /proc/self/status
cat /proc/sysvipc/shm /proc/net/dev /proc/sys/kernel/hostname
ulimit -a; umask; wc -c; ls -ld --time-style=+ /tmp /scratch /dev/shm /dev/pts
unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1 | head -1
for f in /x /etc/x /usr/x /dev/x /proc/sys/kernel/hostname /sys/x; do
  echo > $f || echo kept
done 2>/dev/null
"""


def test_a_run_finds_what_a_command_in_a_sandbox_finds(
    engine: Engine, spec: SandboxSpec, server: Preloaded, tmp_path: Path
) -> None:
    """Also that nothing of an earlier run is left: the first makes a mess."""
    mess = f"""
import os, subprocess
for name in ("/tmp", "/scratch", "/scratch/home", "/dev/shm"):
    open(name + "/remnant", "w").write("x")
ready.append("remnant")
os.environ["REMNANT"] = "x"
subprocess.run(["sh", "-c", "ipcmk -M 100 -Q; setsid sleep 4251.5{OWN} & sleep 4251.5{OWN} &"])
print(len(os.listdir("/proc")))
"""
    program = f"SCRIPT = {SCRIPT!r}\n{LOOK}\nprint(ready)"
    assert said(perform(server, tmp_path, mess))
    assert processes_with(f"sleep 4251.5{OWN}") == []
    seen = said(perform(server, tmp_path, program))
    assert "['made once']" in seen
    assert "remnant" not in seen.lower()
    assert "kept\n" * 6 in seen
    assert "unshare failed: Operation not permitted\n" in seen
    assert "CapEff:\t0000000000000000\n" in seen
    assert "CapBnd:\t0000000000000000\n" in seen
    mounts = (Mount(source=tmp_path / "run.py", target=PurePosixPath("/tmp/run.py")),)  # noqa: S108
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        command = Command(argv=(PYTHON, "-c", f"{CODE}\nwork()"))
        assert comparable(said(sandbox.exec(command)), engine) == comparable(seen, engine)


def comparable(seen: str, engine: Engine) -> list[str]:
    """Its lines; in containers without owners and modes of folders: theirs are the daemon's.

    Nor does Podman keep others from making user namespaces: that line is for forks alone.
    """
    unlike = {"docker": ("drwx",), "podman": ("drwx", "unshare: ")}.get(engine.name, ())
    return [line for line in seen.splitlines() if not line.startswith(unlike)]


def test_a_run_has_an_inner_loopback_and_no_other_network(server: Preloaded, tmp_path: Path) -> None:
    program = """
import socket
with socket.create_server(("127.0.0.1", 0)) as here:
    socket.create_connection(here.getsockname()).close()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(error)
"""
    assert "unreachable" in said(perform(server, tmp_path, program))


def test_no_run_can_reach_the_server(server: Preloaded, spec: SandboxSpec, tmp_path: Path) -> None:
    """Nor its own first process: both are of the same user, but hold no rights over each other.

    Two signals, which qemu needs for itself, may end its thread there: that run is lost.
    """
    spared = {7, 11} if emulation_of(spec.image.arch).emulated else set()
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None)
for pid in {{1, os.getppid()}}:
    if libc.ptrace(16, pid, 0, 0) != -1 or libc.ptrace(0x4206, pid, 0, 0) != -1:
        print("attached to", pid)
    for name in ("mem", "environ", "maps", "root/etc", "fd/0", "ns/user"):
        try:
            os.close(os.open(f"/proc/{{pid}}/{{name}}", os.O_RDONLY))
            print("opened", pid, name)
        except OSError:
            pass
    for number in sorted(set(range(1, 32)) - set({list(spared)})):
        os.kill(pid, number)
for namespace in (1 << 17, 1 << 28):  # of mounts, of users
    if libc.unshare(namespace) != -1:
        print("left", namespace)
"""
    assert said(perform(server, tmp_path, program)) == ""
    assert said(perform(server, tmp_path, "print(ready)")) == "['made once']\n"


CHANGES = """
import ctypes, os, resource, socket, stat
libc = ctypes.CDLL(None)
def tried(what, call, *arguments):
    try:
        if call(*arguments) != -1:
            print("could", what)
    except (OSError, ValueError):
        pass
def raise_limit():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most + 1))
tried("rename the host", libc.sethostname, b"other", 5)
tried("raise a limit", raise_limit)
tried("take more of the processor", os.nice, -5)
tried("mount", libc.mount, b"none", b"/tmp", b"tmpfs", 0, b"")
tried("bind", libc.mount, b"/usr", b"/tmp", b"", 4096, b"")
tried("make the root writable", libc.mount, b"none", b"/", b"", 32 | 4096, b"")
tried("make a root of its own", libc.chroot, b"/tmp")
tried("make a device", os.mknod, "/tmp/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
for name in ("null", "zero", "full", "random", "urandom", "tty"):
    tried("change a device", os.chmod, "/dev/" + name, 0o666)
tried("see packets", socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
tried("become the superuser", os.setuid, 0)
for folder in (b"/", b"/tmp", b"/scratch", b"/proc", b"/dev/pts"):
    tried("unmount", libc.umount2, folder, 2)
for bit in (7, 17, 25, 26, 27, 28, 29, 30):
    tried("leave a namespace", libc.unshare, 1 << bit)
for name in os.listdir("/proc/self/ns"):
    tried("enter a namespace", libc.setns, os.open(f"/proc/self/ns/{name}", os.O_RDONLY), 0)
master, slave = os.openpty()
try:
    os.chmod("/dev/pts/ptmx", 0)
except OSError:
    pass
if os.fork() == 0:
    os.setsid()
    os.kill(-1, 9)
"""
FOUND = """
import os, socket
print(socket.gethostname(), sorted(os.listdir("/dev/pts")), os.path.exists("/scratch/proc"))
master, slave = os.openpty()
os.write(slave, b"words")
print(os.read(master, 5), sorted(os.listdir("/dev/pts")))
"""


def test_a_run_changes_nothing_for_the_next(server: Preloaded, tmp_path: Path) -> None:
    before = said(perform(server, tmp_path, FOUND))
    assert "b'words' ['0', 'ptmx']" in before
    changed = perform(server, tmp_path, CHANGES)
    assert b"could" not in changed.stdout, changed
    assert said(perform(server, tmp_path, FOUND)) == before


def test_how_runs_end(server: Preloaded, tmp_path: Path) -> None:
    assert perform(server, tmp_path, "import os; os._exit(7)").exit_code == 7
    ended = perform(server, tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert (ended.status, ended.signal) == (Status.SIGNALLED, 9)
    failed = perform(server, tmp_path, "1 / 0")
    assert (failed.exit_code, b"ZeroDivisionError" in failed.stderr) == (1, True)
    assert said(perform(server, tmp_path, "print('still there')")) == "still there\n"


def test_inputs_are_read_only_and_each_runs_own(server: Preloaded, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("content")
    program = tmp_path / "program.py"
    program.write_text("""
import os
print(open("/scratch/in/deep/file").read())
for name in ("/scratch/in/deep/file", "/scratch/in/new", "/tmp/run.py"):
    try:
        open(name, "a")
        print("written", name)
    except OSError:
        pass
""")
    mounts = [
        Mount(source=folder, target=PurePosixPath("/scratch/in")),
        Mount(source=program, target=PurePosixPath("/tmp/run.py")),  # noqa: S108
    ]
    assert said(server.run(mounts, timeout=60)) == "content\n"
    assert "in" not in said(perform(server, tmp_path, "import os; print(os.listdir('/scratch'))"))
    with pytest.raises(SandboxError, match="does not exist"):
        server.run([Mount(source=tmp_path / "none", target=PurePosixPath("/tmp/x"))], timeout=60)  # noqa: S108


def test_what_the_servers_sandbox_shows_every_run_sees(
    engine: PreloadingEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("kept")
    targets = ("/scratch/a/kept", "/tmp/kept", "/elsewhere/kept")  # noqa: S108
    mounts = tuple(Mount(source=tmp_path / "kept", target=PurePosixPath(t)) for t in targets)
    server = engine.preload(replace(spec, mounts=mounts), PYTHON, CODE)
    program = f"print(*(open(t).read() for t in {targets}))"
    assert said(perform(server, tmp_path, program)) == "kept kept kept\n"
    assert said(perform(server, tmp_path, program)) == "kept kept kept\n"
    server.close()


def test_a_timeout_ends_the_server(server: Preloaded, tmp_path: Path) -> None:
    nap = f"sleep 4252.5{OWN}"
    program = f"import os; print('begun', flush=True); os.system('setsid {nap} & {nap}')"
    completed = perform(server, tmp_path, program, timeout=3)
    assert (completed.status, completed.stdout) == (Status.TIMED_OUT, b"begun\n")
    assert processes_with(nap) == []
    with pytest.raises(SandboxError):
        perform(server, tmp_path, "")


def test_limits_hold_and_a_fork_bomb_ends_with_its_run(
    engine: PreloadingEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    limits = Limits(memory=256 * MIB, scratch=64 * MIB, processes=40)
    server = engine.preload(replace(spec, limits=limits), PYTHON, CODE)
    bomb = """
import os, time
for n in range(1000):
    try:
        if os.fork() == 0:
            os.setsid(); time.sleep(600)
    except BlockingIOError:
        print("refused", 10 < n < 40); break
"""
    told = said(perform(server, tmp_path, bomb)).splitlines()
    # qemu's words when it is refused a thread of its own.
    assert [line for line in told if not line.startswith("Bail out!")] == ["refused True"]
    full = "import os; os.system('head -c 100000000 /dev/zero > /scratch/x; stat -c %s /scratch/x')"
    assert int(said(perform(server, tmp_path, full))) <= limits.scratch // 2
    greedy = perform(server, tmp_path, f"x = b'x' * {limits.memory * 5}; print('had')")
    assert b"had" not in greedy.stdout
    server.close()


def test_a_server_that_does_not_start(engine: PreloadingEngine, spec: SandboxSpec) -> None:
    with pytest.raises(SandboxError, match="no preloaded process could be started"):
        engine.preload(spec, PYTHON, "raise ValueError('because')")
    with pytest.raises(SandboxError, match="no preloaded process could be started"):
        engine.preload(spec, "/usr/bin/absent", CODE)


def test_a_server_cannot_uncover_or_make_writable(
    engine: PreloadingEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    """Its interpreter is the image's, and what is mounted is the host's.

    Under qemu no process can make a user namespace.
    """
    users = 0 if emulation_of(spec.image.arch).emulated else 1 << 28
    (tmp_path / "kept").write_text("kept")
    mount = Mount(source=tmp_path / "kept", target=PurePosixPath("/elsewhere/kept"))
    code = f"""
import ctypes, os
told, telling = os.pipe()
if os.fork() == 0:
    libc = ctypes.CDLL(None)
    tried = [
        libc.unshare({users} | 1 << 17),  # users, mounts
        libc.mount(b"none", b"/elsewhere/kept", b"", 32 | 4096, b""),
        libc.umount2(b"/elsewhere/kept", 2),
        libc.mount(b"none", b"/elsewhere/kept", b"", 32 | 4096 | 7, b""),
    ]
    os.write(telling, repr(tried).encode())
    os._exit(0)
os.wait()
tried = os.read(told, 100).decode()
work = lambda: print(tried)
"""
    server = engine.preload(replace(spec, mounts=(mount,)), PYTHON, code)
    assert said(server.run((), timeout=60)) == "[0, -1, -1, 0]\n"
    server.close()


def test_an_owner_that_is_killed_leaves_nothing(
    engine: Engine, spec: SandboxSpec, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import os; os.system('setsid sleep 4253.5{OWN} & sleep 4253.5{OWN}')")
    argument = b64encode(pickle.dumps((spec, CODE, program))).decode()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, argument, engine.name], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"begun\n"
        assert eventually(lambda: len(processes_with(f"sleep 4253.5{OWN}")) >= 2)
        owner.kill()
    assert eventually(lambda: processes_with(f"4253.5{OWN}") == [])
    assert eventually(lambda: staged_by(owner.pid) == [])


def staged_by(owner: int) -> list[Path]:
    return list(Path("/tmp").glob(f"pytest-manylinux-staged-{owner}-*"))  # noqa: S108
