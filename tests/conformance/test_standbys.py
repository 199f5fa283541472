"""Preloaded processes for one run: it is in a sandbox as fresh as any, and goes with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import docker
import pytest
from sandboxes import OWN, eventually, processes_with

from pytest_manylinux.engines.api import (
    MIB,
    Command,
    Completed,
    Limits,
    Mount,
    Preloaded,
    PreloadingEngine,
    SandboxSpec,
    Status,
)
from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.engines.container.leftovers import LABEL
from pytest_manylinux.errors import SandboxError

# The run is what its input says; `ready` was made before.
CODE = """
ready = ["made once"]
def work():
    with open("/tmp/in/run.py") as file:
        exec(file.read(), {"ready": ready})
"""
PYTHON = "/usr/bin/python3"
INBOX = PurePosixPath("/tmp/in")  # noqa: S108 - the sandbox's own
OWNER = """
import base64, pickle, sys
from pathlib import PurePosixPath
from pytest_manylinux.engines.api import Mount
from pytest_manylinux.engines.select import select_engine
engine, spec, code, program, inbox = pickle.loads(base64.b64decode(sys.argv[1]))
engine = select_engine(engine)
preload = lambda: engine.preload(spec, "/usr/bin/python3", code, inbox=inbox, max_runs=1)
first, second = preload(), preload()
print("begun", flush=True)
first.run([Mount(source=program, target=inbox / "run.py")], timeout=600)
"""
SandboxEngine: TypeAlias = ContainerEngine | BubblewrapEngine
Start: TypeAlias = Callable[[], Preloaded]


@pytest.fixture
def start(engine: PreloadingEngine, spec: SandboxSpec) -> Iterator[Start]:
    with ExitStack() as stack:

        def one() -> Preloaded:
            standby = engine.preload(spec, PYTHON, CODE, inbox=INBOX, max_runs=1)
            stack.callback(standby.close)
            return standby

        yield one


def perform(standby: Preloaded, folder: Path, program: str, *, timeout: float = 120.0) -> Completed:
    (folder / "run.py").write_text(program)
    return standby.run([Mount(source=folder / "run.py", target=INBOX / "run.py")], timeout=timeout)


def said(completed: Completed) -> str:
    assert completed.ok, completed
    return completed.stdout.decode()


def containers(engine: PreloadingEngine, owner: int) -> list[str]:
    """What sandboxes an owner has: containers, or supervisors with a bubblewrap (process ids).

    An earlier test's may still be on its way out; so those of one test are found by comparing.
    """
    if not isinstance(engine, ContainerEngine):
        keepers = [pid for pid in children(owner) if "supervisor_main.py" in command_line(pid)]
        return [pid for pid in keepers if children(int(pid))]
    client: docker.DockerClient = engine._client
    label = f"{LABEL}.pid={owner}"
    return [found["Id"] for found in client.api.containers(all=True, filters={"label": label})]


def children(owner: int) -> list[str]:
    return Path(f"/proc/{owner}/task/{owner}/children").read_text().split()


def command_line(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


LOOK = """
import os, signal, subprocess
for name in ("/", "/tmp", "/scratch", "/scratch/home", "/dev", "/dev/shm", "/proc/self/fd"):
    print(name, sorted(os.listdir(name)))
print(os.getcwd(), os.environ, os.getsid(0) == os.getpid())
print([signal.getsignal(number) for number in range(1, 32)])
print(subprocess.run(SCRIPT, shell=True, capture_output=True, text=True).stdout)
"""
SCRIPT = r"""
id; grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups|Seccomp:|Sig)' /proc/self/status
cat /proc/net/dev /proc/sys/kernel/hostname
ulimit -a; umask; wc -c; ls -ld --time-style=+ /tmp /scratch /dev/shm /dev/pts
for f in /x /etc/x /usr/x /proc/sys/kernel/hostname /sys/x; do
  echo > $f || echo kept
done 2>/dev/null
"""


def test_a_run_finds_what_a_command_in_a_sandbox_finds(
    engine: SandboxEngine, spec: SandboxSpec, start: Start, tmp_path: Path
) -> None:
    seen = said(perform(start(), tmp_path, f"SCRIPT = {SCRIPT!r}\n{LOOK}\nprint(ready)"))
    assert "['made once']" in seen
    assert "kept\n" * 5 in seen
    mounts = (Mount(source=tmp_path / "run.py", target=INBOX / "run.py"),)
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        command = Command(argv=(PYTHON, "-c", f"{CODE}\nwork()"))
        assert said(sandbox.exec(command)) == seen


def test_it_runs_once(start: Start, tmp_path: Path) -> None:
    standby = start()
    mess = f"import os; open('/scratch/remnant', 'w'); os.system('sleep 4253.5{OWN} &')"
    assert said(perform(standby, tmp_path, mess)) == ""
    with pytest.raises(SandboxError, match="has run already"):
        perform(standby, tmp_path, "print('again')")
    assert eventually(lambda: processes_with(f"sleep 4253.5{OWN}") == [])
    assert "remnant" not in said(perform(start(), tmp_path, "import os; print(os.listdir('/scratch'))"))


@pytest.mark.attack("escape")
def test_no_run_can_reach_the_first_process(start: Start, tmp_path: Path) -> None:
    """Nor what started it, the same in a container; what is told of the run comes from there."""
    program = """
import ctypes, os, signal, subprocess, sys
look = r'''
import ctypes, os, sys
pid = int(sys.argv[1])
if ctypes.CDLL(None).ptrace(16, pid, 0, 0) != -1:
    print("attached")
for name in ("mem", "environ", "maps", "root/etc", "fd/0", "fd/1"):
    try:
        os.close(os.open("/proc/%d/" % pid + name, os.O_RDONLY))
        print("opened", name)
    except OSError:
        pass
for number in range(1, 32):
    os.kill(1, number)
'''
words = [sys.executable, "-c", look, str(os.getppid())]
print(subprocess.run(words, capture_output=True, text=True).stdout)
print("\\n" + "0" * 32 + ' {"exit_code": 0}', flush=True)
os._exit(7)
"""
    ended = perform(start(), tmp_path, program)
    assert (ended.status, ended.exit_code) == (Status.EXITED, 7)
    assert b"attached" not in ended.stdout
    assert b"opened" not in ended.stdout


def test_how_runs_end(start: Start, tmp_path: Path) -> None:
    ended = perform(start(), tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert (ended.status, ended.signal) == (Status.SIGNALLED, 9)
    failed = perform(start(), tmp_path, "1 / 0")
    assert (failed.exit_code, b"ZeroDivisionError" in failed.stderr) == (1, True)
    long = perform(start(), tmp_path, "print('x' * 20_000_000)")
    assert (long.ok, long.truncated) == (True, True)


def test_inputs_are_read_only_and_readable(
    engine: SandboxEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True, mode=0o700)
    (folder / "deep" / "file").write_text("content")
    (folder / "deep" / "file").chmod(0o600)
    before = Mount(source=folder / "deep", target=INBOX / "before")
    program = tmp_path / "program.py"
    program.write_text("""
import os
print(open("/tmp/in/deeper/in/deep/file").read(), open("/tmp/in/before/file").read())
for name in ("/tmp/in/deeper/in/deep/file", "/tmp/in/new", "/tmp/in/before/new", "/tmp/in/run.py"):
    try:
        open(name, "a")
        print("written", name)
    except OSError:
        pass
""")
    mounts = [
        Mount(source=folder, target=INBOX / "deeper" / "in"),
        Mount(source=program, target=INBOX / "run.py"),
    ]
    old = os.umask(0o077)
    try:
        standby = engine.preload(replace(spec, mounts=(before,)), PYTHON, CODE, inbox=INBOX, max_runs=1)
        assert said(standby.run(mounts, timeout=60)) == "content content\n"
    finally:
        os.umask(old)
    standby.close()
    assert (folder / "deep" / "file").stat().st_mode & 0o777 == 0o600


def test_an_input_elsewhere_is_refused(start: Start, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no place for an input"):
        start().run([Mount(source=tmp_path, target=PurePosixPath("/scratch/in"))], timeout=60)


def test_a_timeout_kills_it(engine: SandboxEngine, start: Start, tmp_path: Path) -> None:
    before = containers(engine, os.getpid())
    nap = f"sleep 4254.5{OWN}"
    program = f"import os; print('begun', flush=True); os.system('setsid {nap} & {nap}')"
    completed = perform(start(), tmp_path, program, timeout=3)
    assert (completed.status, completed.stdout) == (Status.TIMED_OUT, b"begun\n")
    assert processes_with(nap) == []
    assert not set(containers(engine, os.getpid())) - set(before)


def test_limits_hold(engine: PreloadingEngine, spec: SandboxSpec, tmp_path: Path) -> None:
    limits = Limits(memory=256 * MIB, scratch=64 * MIB, processes=40)
    program = """
import os, time
for n in range(1000):
    try:
        if os.fork() == 0:
            os.setsid(); time.sleep(600)
    except BlockingIOError:
        print("refused", 10 < n < 40, flush=True); break
x = b'x' * (1 << 30)
print('had')
"""
    standby = engine.preload(replace(spec, limits=limits), PYTHON, CODE, inbox=INBOX, max_runs=1)
    assert perform(standby, tmp_path, program).stdout == b"refused True\n"
    standby.close()


def test_a_script_before_it(engine: SandboxEngine, spec: SandboxSpec, tmp_path: Path) -> None:
    link = "/scratch/it's a python"
    setup = f'ln -s {PYTHON} "{link}"'
    with engine.preload(spec, link, CODE, setup=setup, inbox=INBOX, max_runs=1) as standby:
        program = "import os, sys; print(sys.executable, sorted(os.environ))"
        told = perform(standby, tmp_path, program).stdout.decode()
    with engine.preload(spec, PYTHON, CODE, inbox=INBOX, max_runs=1) as standby:
        assert told == perform(standby, tmp_path, program).stdout.decode().replace(PYTHON, link)
    with pytest.raises(SandboxError, match="no preloaded process could be started") as caught:
        engine.preload(spec, PYTHON, CODE, setup="echo because >&2; false", inbox=INBOX, max_runs=1)
    assert "because" in str(caught.value.why)


def test_one_that_does_not_start(engine: SandboxEngine, spec: SandboxSpec) -> None:
    before = containers(engine, os.getpid())
    with pytest.raises(SandboxError, match="no preloaded process could be started"):
        engine.preload(spec, PYTHON, "raise ValueError('because')", inbox=INBOX, max_runs=1)
    with pytest.raises(SandboxError, match="no preloaded process could be started"):
        engine.preload(spec, "/usr/bin/absent", CODE, inbox=INBOX, max_runs=1)
    assert not set(containers(engine, os.getpid())) - set(before)


@pytest.mark.attack("fault")
def test_an_owner_that_is_killed_leaves_none(
    engine: SandboxEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    """Neither one that runs nor one that waits."""
    program = tmp_path / "run.py"
    program.write_text(f"import os; os.system('sleep 4255.5{OWN}')")
    argument = b64encode(pickle.dumps((engine.name, spec, CODE, program, INBOX))).decode()
    with subprocess.Popen([sys.executable, "-c", OWNER, argument], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"begun\n"
        assert eventually(lambda: processes_with(f"sleep 4255.5{OWN}") != [])
        found = containers(engine, owner.pid)
        assert len(found) == 2
        owner.kill()
    assert eventually(lambda: processes_with(f"sleep 4255.5{OWN}") == [])
    if isinstance(engine, ContainerEngine):
        assert eventually(lambda: containers(engine, owner.pid) == [])
    assert eventually(lambda: not any(Path("/proc", one).exists() for one in found))


def test_closing_one_that_waits(engine: SandboxEngine, start: Start) -> None:
    before = containers(engine, os.getpid())
    standby = start()
    assert len(set(containers(engine, os.getpid())) - set(before)) == 1
    standby.close()
    standby.close()
    assert not set(containers(engine, os.getpid())) - set(before)
    with pytest.raises(SandboxError):
        standby.run((), timeout=60)
