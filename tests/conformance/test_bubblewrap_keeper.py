"""What is true of bubblewrap's engine alone: its keeper, its limits, and ordinary users."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sandboxes import OWN, eventually, lines, need_control_groups, processes_with, python, sh

from pytest_manylinux.engines import preloaded
from pytest_manylinux.engines.api import MIB, Limits, SandboxSpec, Status
from pytest_manylinux.engines.bubblewrap import engine as bubblewrap_engine
from pytest_manylinux.engines.bubblewrap import supervisor
from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine
from pytest_manylinux.engines.bubblewrap.supervisor import Supervisor
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.model.distro import Image

NOBODY = 65534
OWNER = """
import time
from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine
engine = BubblewrapEngine()
print(engine._supervisors._waiting[0]._process.pid, flush=True)
time.sleep(600)
"""
FORKS = """
import os, time
for n in range(1000):
    try:
        pid = os.fork()
    except BlockingIOError:
        print("refused")
        break
    if pid == 0:
        time.sleep(600)
"""


@pytest.fixture
def engine() -> Iterator[BubblewrapEngine]:
    engine = BubblewrapEngine()
    yield engine
    engine.close()


def test_no_user_namespace_can_be_made_inside(engine: BubblewrapEngine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        assert not sh(sandbox, "unshare -U true").ok


def test_a_keeper_that_is_killed_takes_all_with_it(engine: BubblewrapEngine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        assert sh(sandbox, f"setsid sleep 4248.5{OWN} & sleep 4248.5{OWN} &").ok
        keeper = sandbox._supervisor._process
        keeper.kill()
        keeper.wait()
        with pytest.raises(SandboxError):
            sh(sandbox, "true")
        assert eventually(lambda: processes_with(f"sleep 4248.5{OWN}") == [])


def test_the_keeper_that_waits_is_taken_and_another_one_waits(
    engine: BubblewrapEngine, spec: SandboxSpec
) -> None:
    (first,) = waiting(engine)
    with engine.open(spec) as sandbox:
        assert sandbox._supervisor is first
        (second,) = waiting(engine)
        assert second is not first


def test_a_keeper_that_is_killed_while_it_waits_is_missed_by_nobody(
    engine: BubblewrapEngine, spec: SandboxSpec
) -> None:
    (spare,) = waiting(engine)
    spare._process.kill()
    spare._process.wait()
    with engine.open(spec) as sandbox:
        assert sh(sandbox, "echo fine").stdout == b"fine\n"


@pytest.mark.parametrize("end", ["closed", "forgotten"])
def test_no_keeper_waits_for_an_engine_that_is_gone(end: str) -> None:
    engine = BubblewrapEngine()
    (spare,) = waiting(engine)
    assert not spare.has_ended()
    if end == "closed":
        engine.close()
    del engine
    gc.collect()
    assert spare._process.returncode is not None


def test_no_keeper_waits_for_an_owner_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        spare = Path("/proc", owner.stdout.readline().strip())
        assert spare.exists()
        owner.kill()
    assert eventually(lambda: not spare.exists())


def waiting(engine: BubblewrapEngine) -> list[Supervisor]:
    return list(engine._supervisors._waiting or [])


def test_an_image_without_a_folder(engine: BubblewrapEngine, spec: SandboxSpec) -> None:
    elsewhere = replace(spec.image, root=None, reference="debian:12")
    with pytest.raises(EngineError, match="needs a root in a folder"):
        engine.open(replace(spec, image=elsewhere))


def test_what_ends_before_the_sandbox_stands_is_heard(
    engine: BubblewrapEngine, spec: SandboxSpec, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: of no use'; exit 1\n")
    program.chmod(0o755)
    engine._program = str(program)
    with pytest.raises(SandboxError) as caught:
        engine.open(spec)
    assert caught.value.why == "bwrap: of no use"


def test_groups_of_dead_runs_are_removed_and_those_of_living_ones_stay() -> None:
    groups = need_control_groups()
    dead = [parent / f"pytest-manylinux-{os.getpid()}-1-0" for parent in groups.parents]
    for folder in dead:
        folder.mkdir()
    living = groups.make(Limits())
    BubblewrapEngine().close()
    assert [folder for folder in dead if folder.exists()] == []
    assert all(folder.exists() for folder in living.folders)
    living.remove()
    assert not any(folder.exists() for folder in living.folders)


def test_memory_without_control_groups(spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap_engine, "find_control_groups", lambda: None)
    engine = BubblewrapEngine()
    assert engine.limits_by == "rlimits"
    with engine.open(replace(spec, limits=Limits(memory=64 * MIB))) as sandbox:
        assert python(sandbox, "x = bytearray(16 << 20)").ok
        completed = python(sandbox, "x = bytearray(512 << 20)")
    assert b"MemoryError" in completed.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole suite runs as an ordinary user then")
def test_as_an_ordinary_user(spec: SandboxSpec, image: Image) -> None:
    """The superuser's own files are out of reach for nobody: root, keeper and Python are copied."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        assert image.root is not None
        subprocess.run(["cp", "-a", image.root, folder / "root"], check=True)
        shutil.copy(supervisor._PROGRAM, folder / "supervisor_main.py")
        shutil.copy(preloaded.INSIDE, folder / "preloaded_main.py")
        theirs = replace(spec, image=replace(image, root=str(folder / "root")))

        def check() -> None:
            supervisor._PROGRAM = folder / "supervisor_main.py"
            preloaded.INSIDE = folder / "preloaded_main.py"
            sys.executable = _python_for_all()
            _check_as_nobody(theirs)

        assert _as_nobody(check) == 0


def _check_as_nobody(spec: SandboxSpec) -> None:
    engine = BubblewrapEngine()
    with engine.open(spec) as sandbox:
        assert lines(sh(sandbox, "id -u; echo x > ~/y && cat ~/y")) == ["1000", "x"]
        assert not sh(sandbox, "echo > /etc/x").ok
        assert not sh(sandbox, "unshare -U true").ok
        assert lines(sh(sandbox, "grep CapEff /proc/self/status")) == ["CapEff:\t" + "0" * 16]
        assert sh(sandbox, "sleep 60", timeout=3).status is Status.TIMED_OUT
    with engine.open(replace(spec, limits=Limits(processes=30))) as sandbox:
        assert b"refused" in python(sandbox, FORKS).stdout
    work = "print(os.getuid(), os.listdir('/scratch'), os.system('unshare -U true'))"
    code = f"import os; work = lambda: {work}"
    server = engine.preload(spec, "/usr/bin/python3", code)
    for _ in range(2):
        assert server.run((), timeout=60).stdout == b"1000 ['home'] 256\n"
    engine.close()


def _python_for_all() -> str:
    for program in (sys.executable, "/usr/bin/python3"):
        words = [program, "-I", "-S", "-c", "import sys; sys.exit(sys.version_info < (3, 10))"]
        try:
            if subprocess.run(words, check=False).returncode == 0:
                return program
        except PermissionError:
            continue
    raise AssertionError("no Python of 3.10 or newer that an ordinary user may run")


def _as_nobody(action: Callable[[], None]) -> int:
    """Run `action` in a fork that has become nobody; its exit code, 0 if it raised nothing."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.chdir("/")
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as this test
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
