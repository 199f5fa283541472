"""Sandboxes begin, live side by side, get lost, and leave nothing."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from sandboxes import OWN, eventually, lines, processes_with, sh
from whole_runs import control_groups

from pytest_manylinux.engines.api import Engine, Mount, Sandbox, SandboxSpec, Status
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import EngineError, SandboxError

OWNER = f"""
import sys, pickle, base64
from pytest_manylinux.engines.api import Command
from pytest_manylinux.engines.select import select_engine
engine, spec = pickle.loads(base64.b64decode(sys.argv[1]))
sandbox = select_engine(engine).open(spec)
nap = "sleep 4244.5{OWN}"
sandbox.exec(Command(argv=("sh", "-c", "setsid " + nap + " & trap '' TERM; " + nap + " &")))
print("begun", flush=True)
sandbox.exec(Command(argv=("sh", "-c", "trap '' HUP; while " + nap + "; do :; done"), timeout=4000))
"""


def mounts_of(place: object) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(place) in line]


def test_an_owner_that_is_killed_leaves_nothing(
    engine: Engine, spec: SandboxSpec, tmp_path: Path
) -> None:
    spec = replace(spec, mounts=(Mount(source=tmp_path, target=PurePosixPath("/inputs")),))
    argument = base64.b64encode(pickle.dumps((engine.name, spec))).decode()
    with subprocess.Popen([sys.executable, "-c", OWNER, argument], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"begun\n"
        assert eventually(lambda: len(processes_with(f"sleep 4244.5{OWN}")) >= 3)
        owner.kill()
    assert eventually(lambda: processes_with(f"4244.5{OWN}") == [])
    assert eventually(lambda: control_groups(owner.pid) == [])
    assert mounts_of(tmp_path) == mounts_of(spec.image.root) == []


@pytest.mark.attack("fault")
def test_a_sandbox_outlives_the_thread_that_opened_it(engine: Engine, spec: SandboxSpec) -> None:
    with ThreadPoolExecutor(1) as pool:
        sandbox = pool.submit(engine.open, spec).result()
    with sandbox:
        assert sh(sandbox, "sleep 0.5").ok


@pytest.mark.attack("fault")
def test_closing_kills_what_runs(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.open(spec)
    assert sh(sandbox, f"setsid sleep 4245.5{OWN} & sleep 4245.5{OWN} &").ok
    assert len(processes_with(f"sleep 4245.5{OWN}")) == 2
    sandbox.close()
    assert processes_with(f"sleep 4245.5{OWN}") == []
    sandbox.close()
    with pytest.raises(SandboxError):
        sh(sandbox, "true")


def test_closing_ends_a_command_of_another_thread(engine: Engine, spec: SandboxSpec) -> None:
    sandbox = engine.open(spec)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sh, sandbox, f"sleep 4246.5{OWN}", timeout=600)
        assert eventually(lambda: processes_with(f"sleep 4246.5{OWN}") != [])
        sandbox.close()
        completed = running.result(timeout=60)
    assert completed.status is Status.LOST


def test_commands_side_by_side_in_one_sandbox(sandbox: Sandbox) -> None:
    assert sh(sandbox, "mkfifo a b").ok
    with ThreadPoolExecutor(2) as pool:  # each ends only if the other runs meanwhile
        first = pool.submit(sh, sandbox, "echo 1 > a; cat b")
        second = pool.submit(sh, sandbox, "cat a; echo 2 > b")
        assert (lines(first.result()), lines(second.result())) == (["2"], ["1"])


def test_eight_at_once(engine: Engine, spec: SandboxSpec) -> None:
    def work(number: int) -> list[str]:
        with engine.open(spec) as sandbox:
            assert sh(sandbox, f"echo {number} > /scratch/mine; sleep 1").ok
            return lines(sh(sandbox, "cat /scratch/mine; ls /scratch | wc -l"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[str(number), "2"] for number in range(8)]


@pytest.mark.attack("fault")
def test_a_sandbox_killed_from_inside_is_lost(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(spec) as sandbox:
        # Some engines survive this; none may say that the command ended well, or hang.
        completed = sh(sandbox, "kill -9 -1; sleep 5; exit 3")
        assert completed.status is Status.LOST or completed.exit_code == 3
        if completed.status is Status.LOST:
            with pytest.raises(SandboxError):
                sh(sandbox, "true")


@pytest.mark.attack("fault")
def test_one_lost_sandbox_does_not_touch_another(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(spec) as first, engine.open(spec) as second:
        sh(first, "kill -9 -1; sleep 5")
        assert sh(second, "true").ok


def test_an_engine_that_is_closed_closes_its_sandboxes(engine: Engine, spec: SandboxSpec) -> None:
    other = select_engine(engine.name)
    sandbox = other.open(spec)
    assert sh(sandbox, f"sleep 4247.5{OWN} &").ok
    other.close()
    assert processes_with(f"sleep 4247.5{OWN}") == []
    with pytest.raises(SandboxError):
        sh(sandbox, "true")


@pytest.mark.attack("fault")
def test_nothing_stays_on_the_host(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    spec = replace(spec, mounts=(Mount(source=tmp_path, target=PurePosixPath("/inputs")),))
    before = control_groups(os.getpid())
    with engine.open(spec) as sandbox:
        assert sh(sandbox, "head -c 1000000 /dev/zero > x; sleep 600 & setsid sleep 600 &").ok
    assert control_groups(os.getpid()) == before
    assert mounts_of(tmp_path) == mounts_of(spec.image.root) == []


def test_an_image_without_content(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    nothing = replace(spec.image, root=str(tmp_path / "none"), digest="sha256:" + "0" * 64)
    with pytest.raises(EngineError):
        engine.open(replace(spec, image=nothing))


def test_an_image_that_cannot_run_anything(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    empty = replace(spec.image, root=str(tmp_path), digest="sha256:" + "1" * 64)
    with pytest.raises(EngineError):
        engine.open(replace(spec, image=empty))


def test_name_and_version(engine: Engine) -> None:
    assert engine.name in {"bubblewrap", "docker", "podman"}
    assert engine.version()[0].isdigit()
