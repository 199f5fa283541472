"""A Docker daemon that dies in the middle of a run."""

from __future__ import annotations

import base64
import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engine_daemons import docker_daemon

from pytest_manylinux.engines.api import SandboxSpec
from pytest_manylinux.engines.container.engine import ContainerEngine
from pytest_manylinux.engines.container.leftovers import LABEL
from pytest_manylinux.engines.select import select_engine

pytestmark = pytest.mark.parametrize("where", ["docker"], indirect=True)

OWNER = """
import base64, pickle, sys
from pytest_manylinux.engines.api import Command
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import EngineError
spec = pickle.loads(base64.b64decode(sys.argv[1]))
sandbox = select_engine("docker").open(spec)
print("begun", flush=True)
try:
    done = sandbox.exec(Command(argv=("sh", "-c", "echo x; sleep 600"), timeout=600))
    print("ended", done.ok, done.status)
except EngineError as error:
    print("told:", error.what)
"""


def test_a_daemon_that_is_killed(
    spec: SandboxSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear end for the run, and nothing of it left once the daemon is back."""
    argument = base64.b64encode(pickle.dumps(spec)).decode()
    with docker_daemon(tmp_path) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, argument], stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begun\n"
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        words, _ = owner.communicate(timeout=60)
        assert words.startswith("told: docker does not answer")
    with docker_daemon(tmp_path) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with contextlib.closing(select_engine("docker")) as again:
            assert isinstance(again, ContainerEngine)
            assert again.api.containers(all=True, filters={"label": LABEL}) == []
