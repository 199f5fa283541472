"""A sandbox's commands cannot take more than they were given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sandboxes import OWN, lines, need_control_groups, processes_with, python, sh

from pytest_manylinux.engines.api import MIB, Engine, Limits, Sandbox, SandboxSpec, Status
from pytest_manylinux.engines.output import BOUND
from pytest_manylinux.errors import SandboxError

pytestmark = pytest.mark.attack("limit")

LIMITS = Limits(memory=256 * MIB, scratch=64 * MIB, processes=40)


@pytest.fixture
def small(engine: Engine, spec: SandboxSpec) -> Iterator[Sandbox]:
    with engine.open(replace(spec, limits=LIMITS)) as sandbox:
        yield sandbox


def test_memory(small: Sandbox) -> None:
    assert python(small, f"x = bytearray({LIMITS.memory // 4}); x[::4096] = x[::4096]").ok
    completed = python(small, f"x = b'x' * {LIMITS.memory * 5}; print(len(x))")
    assert not completed.ok
    assert b"MemoryError" in completed.stderr or completed.signal == 9
    assert sh(small, "true").ok


def test_memory_of_many_processes_together(engine: Engine, small: Sandbox) -> None:
    if engine.name == "bubblewrap":
        need_control_groups()
    program = (
        "import os, time\n"
        "for _ in range(8):\n"
        "  if os.fork() == 0:\n"
        f"    x = b'x' * {LIMITS.memory // 4}; time.sleep(600)\n"
        "print(os.wait()[1] & 127, flush=True)\n"
        "os.kill(0, 15)\n"
    )
    completed = python(small, program)
    assert completed.stdout.split()[:1] == [b"9"]


def test_processes(small: Sandbox) -> None:
    program = (
        "import os, time\n"
        "for n in range(1000):\n"
        "  try: pid = os.fork()\n"
        "  except BlockingIOError: print('refused at', n); break\n"
        "  if pid == 0: time.sleep(600); os._exit(0)\n"
    )
    words = lines(python(small, program))[0].split()
    assert words[:2] == ["refused", "at"]
    assert LIMITS.processes // 2 < int(words[2]) <= LIMITS.processes


def test_a_fork_bomb_ends_with_its_sandbox(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(replace(spec, limits=LIMITS)) as sandbox:
        script = f"bomb() {{ sleep 4242.5{OWN} & bomb & bomb; }}; bomb"
        completed = sh(sandbox, script, timeout=5)
        assert not completed.ok
    assert processes_with(f"sleep 4242.5{OWN}") == []


@pytest.mark.parametrize("folder", ["/scratch", "/tmp", "/dev/shm"])  # noqa: S108
def test_space(small: Sandbox, folder: str) -> None:
    completed = sh(small, f"head -c {LIMITS.scratch * 2} /dev/zero > {folder}/big")
    assert not completed.ok
    assert b"No space left" in completed.stderr
    assert int(lines(sh(small, f"stat -c %s {folder}/big"))[0]) <= LIMITS.scratch
    assert sh(small, f"rm {folder}/big && echo x > {folder}/small").ok


def test_space_of_both_folders_together(small: Sandbox) -> None:
    script = "for f in /scratch /tmp; do head -c %d /dev/zero > $f/big; done; cat /*/big | wc -c"
    assert int(lines(sh(small, script % LIMITS.scratch))[0]) <= LIMITS.scratch


def test_no_core_files(small: Sandbox) -> None:
    assert lines(sh(small, "ulimit -c")) == ["0"]


def test_timeout_kills_the_whole_tree(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        nap = f"sleep 4243.5{OWN}"
        script = f"setsid {nap} & trap '' TERM INT HUP; echo begun; {nap}; {nap}"
        completed = sh(sandbox, script, timeout=3)
        assert completed.status is Status.TIMED_OUT
        assert (completed.exit_code, completed.signal) == (None, None)
        assert completed.stdout == b"begun\n"
        assert processes_with(nap) == []
        with pytest.raises(SandboxError):
            sh(sandbox, "true")


def test_timeout_while_output_floods(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        completed = sh(sandbox, "yes", timeout=3)
    # How much comes in that time is the machine's affair; what is kept of it is not.
    assert completed.status is Status.TIMED_OUT
    assert len(completed.stdout) < BOUND + 100
    assert completed.stdout.startswith(b"y\ny\n")


def test_timeout_of_a_stopped_command(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        assert sh(sandbox, "kill -STOP $$", timeout=3).status is Status.TIMED_OUT
