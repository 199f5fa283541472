"""Container engines for tests: the machine's own where one answers, else one started here."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_manylinux.engines.daemons import connect_docker
from pytest_manylinux.errors import EngineError

_CAP_SYS_RESOURCE = 24
_CONTAINERS = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@contextmanager
def engine_running(name: str) -> Iterator[None]:
    """See that the engine `name` can be selected meanwhile, by this process and by its children."""
    with (
        tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as stack,
    ):
        if name == "docker":
            stack.enter_context(_docker(Path(folder), patch))
        elif name == "podman":
            _configure_podman(Path(folder), patch)
        yield


@contextmanager
def _docker(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    try:
        connect_docker().close()
    except EngineError:
        with docker_daemon(folder) as address:
            patch.setenv("DOCKER_HOST", address)
            yield
    else:
        yield


@contextmanager
def docker_daemon(folder: Path, *options: str) -> Iterator[str]:
    """A daemon with everything it has below `folder`; its address. It needs root and `dockerd`."""
    address = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--host", address, *options]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--bridge", "none", "--iptables=false"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _await(address, daemon, folder / "log")
        yield address
    finally:
        daemon.terminate()
        daemon.wait(timeout=120)


def _await(address: str, daemon: subprocess.Popen[bytes], log: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        end = time.monotonic() + 120
        while True:
            try:
                return connect_docker().close()
            except EngineError:
                if daemon.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"dockerd does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)


def _configure_podman(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Images below `folder`; and where the machine is short of rights, the runtime that bears it."""
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
    if os.geteuid() == 0 and not _may_raise_limits() and shutil.which("runc"):
        (folder / "containers.conf").write_text(_CONTAINERS)
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(capabilities.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
