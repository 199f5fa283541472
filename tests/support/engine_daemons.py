"""Container engines for tests: the machine's own where one answers, else one started here."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shared_ground import STAY

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
def engine_running(name: str, *, shared: bool = False) -> Iterator[None]:
    """See that the engine `name` can be selected meanwhile, by this process and by its children.

    With `shared` later tests and other workers of the run have the same daemon and the same images:
    for tests that look only at what is theirs.
    """
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:

        def ground(make: Callable[[Path], object], remove: Callable[[Path], object]) -> Path:
            if shared:
                return STAY.on(f"engine-{name}", make, remove)
            return stack.enter_context(_own_ground(f"engine-{name}", make, remove))

        if name == "docker" and not _docker_answers():
            patch.setenv("DOCKER_HOST", _address(ground(start_docker, stop_docker)))
        elif name == "podman":
            _configure_podman(ground(_make_storage, _unmount_below), patch)
        yield


@contextmanager
def _own_ground(
    name: str, make: Callable[[Path], object], remove: Callable[[Path], object]
) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as path:
        try:
            make(Path(path))
            yield Path(path)
        finally:
            remove(Path(path))


def _docker_answers() -> bool:
    try:
        connect_docker().close()
    except EngineError:
        return False
    return True


@contextmanager
def docker_daemon(folder: Path) -> Iterator[str]:
    """A daemon with everything it has below `folder`; its address. It needs root and `dockerd`."""
    try:
        start_docker(folder)
        yield _address(folder)
    finally:
        stop_docker(folder)


def _address(folder: Path) -> str:
    return f"unix://{folder}/docker.sock"


def start_docker(folder: Path) -> None:
    """Start a daemon with everything it has below `folder`, until `stop_docker`, of whatever process.

    As on a machine with systemd, containerd is a process beside it, which survives its death.
    """
    if os.geteuid() != 0:
        pytest.skip("an ordinary user starts no Docker daemon")
    containers = f"{folder}/containerd.sock"
    beside = ["containerd", "--address", containers]
    beside += ["--root", f"{folder}/containerd", "--state", f"{folder}/containerd-state"]
    command = ["dockerd", "--host", _address(folder), "--containerd", containers]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--iptables=false", "--ip-forward=false", *_bridge()]
    containerd = _start(beside, folder, "containerd")
    while not Path(containers).exists():
        if containerd.poll() is not None:
            words = (folder / "containerd.log").read_text()[-2000:]
            pytest.fail(f"containerd does not start: {words}")
        time.sleep(0.1)
    dockerd = _start(command, folder, "dockerd")
    _await(_address(folder), dockerd, folder / "dockerd.log")
    for process in (containerd, dockerd):
        process.returncode = 0  # else Popen warns that it still runs, which is what it is for


def _bridge() -> list[str]:
    """No bridge, where there is none; dockerd would remove that of the machine's own daemon."""
    theirs = any(name == "docker0" for _, name in socket.if_nameindex())
    return [] if theirs else ["--bridge", "none"]


def stop_docker(folder: Path) -> None:
    """End what `start_docker` has started, as far as it came, and wait until it has ended."""
    for name in ("dockerd", "containerd"):
        with contextlib.suppress(FileNotFoundError):
            _stop(int((folder / f"{name}.started").read_text()))
    _unmount_below(folder)


def _start(command: list[str], folder: Path, name: str) -> subprocess.Popen[bytes]:
    """A process in the background, which `_stop` ends."""
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    (folder / f"{name}.started").write_text(str(process.pid))
    return process


def _stop(pid: int) -> None:
    """End a process, be it a child of ours, of somebody else's or nobody's any more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], 120)[0]:
            pytest.fail(f"the process {pid} does not end")
    except ProcessLookupError:  # it has ended, and waits for its parent to ask
        pass
    finally:
        os.close(descriptor)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _unmount_below(folder: Path) -> None:
    """Both engines leave their storage bound onto itself, and so in the way of its removal."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", point], check=False)


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


def _make_storage(folder: Path) -> None:
    """Images below `folder`; and where the machine is short of rights, the runtime that bears it."""
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    if os.geteuid() == 0 and not _may_raise_limits() and shutil.which("runc"):
        (folder / "containers.conf").write_text(_CONTAINERS)


def _configure_podman(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
    if (folder / "containers.conf").exists():
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(capabilities.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
