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

from pytest_manylinux.engines.container.connection import connect_docker
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
            stack.callback(_unmount_below, Path(folder))
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
def docker_daemon(folder: Path) -> Iterator[str]:
    """A daemon with everything it has below `folder`; its address. It needs root and `dockerd`.

    As on a machine with systemd, containerd is a process beside it, which survives its death.
    """
    if os.geteuid() != 0:
        pytest.skip("an ordinary user starts no Docker daemon")
    address, containers = f"unix://{folder}/docker.sock", f"{folder}/containerd.sock"
    beside = ["containerd", "--address", containers]
    beside += ["--root", f"{folder}/containerd", "--state", f"{folder}/containerd-state"]
    command = ["dockerd", "--host", address, "--containerd", containers]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--bridge", "none", "--iptables=false"]
    try:
        with _process(beside, folder / "containerd.log") as containerd:
            while not Path(containers).exists():
                if containerd.poll() is not None:
                    words = (folder / "containerd.log").read_text()[-2000:]
                    pytest.fail(f"containerd does not start: {words}")
                time.sleep(0.1)
            with _process(command, folder / "log") as daemon:
                _await(address, daemon, folder / "log")
                yield address
    finally:
        _unmount_below(folder)


def _unmount_below(folder: Path) -> None:
    """Both engines leave their storage bound onto itself, and so in the way of its removal."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", point], check=False)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the background, ended in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=120)


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
