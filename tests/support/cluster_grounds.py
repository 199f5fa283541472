"""A Dask cluster of real processes on loopback: a scheduler, and workers of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sandboxes import eventually

from pytest_manylinux.cache.paths import cache_root


@dataclass
class Ground:
    """A scheduler, and workers with caches of their own."""

    folder: Path
    address: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        return self.start_in(None, name, *argv, **environment)

    def start_in(
        self, folder: Path | None, name: str, *argv: str, **environment: str
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *argv],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                cwd=folder,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def share_roots(self, number: int) -> None:
        """Give a worker's cache the roots and venvs of this machine, which are only read."""
        cache = self.folder / f"cache{number}"
        cache.mkdir()
        for part in ("images", "recipes", "venvs"):
            (cache / part).symlink_to(cache_root() / part)

    def worker(self, number: int) -> subprocess.Popen[bytes]:
        name = f"w{number}"
        process = self.start(
            name,
            "-c",
            "import sys; from pytest_manylinux.cli import main; sys.exit(main())",
            "worker",
            self.address,
            "--jobs=1",
            f"--name={name}",
            f"--host=127.0.0.{number}",
            PYTEST_MANYLINUX_CACHE=str(self.folder / f"cache{number}"),
        )
        assert eventually(lambda: "worker w" in self.log(name)), self.log(name)
        return process


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def cluster_running(folder: Path, **environment: str) -> Iterator[Ground]:
    """A scheduler until the end of the block, and the workers that are started meanwhile.

    `environment` is added to the scheduler's.
    """
    found = Ground(folder)
    port = free_port()
    found.address = f"tcp://127.0.0.1:{port}"
    found.start(
        "scheduler",
        "-m",
        "distributed.cli.dask_scheduler",
        "--host=127.0.0.1",
        f"--port={port}",
        "--dashboard-address=127.0.0.1:0",
        **environment,
    )
    try:
        yield found
    finally:
        for process in reversed(found.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=300)
