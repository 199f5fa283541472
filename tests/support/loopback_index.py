"""A real package index on loopback, and a pip on another distro that installs from it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 60.0  # seconds until the index must answer


@dataclass(frozen=True)
class Index:
    """pypiserver over a folder; `url` ends in a slash."""

    url: str
    folder: Path

    def held(self) -> list[str]:
        """The files that the index holds."""
        return sorted(path.name for path in self.folder.iterdir())


@contextmanager
def index_running(folder: Path) -> Iterator[Index]:
    """Serve `folder`, taking uploads from anybody on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [sys.executable, "-m", "pypiserver", "run", "--interface", "127.0.0.1"]
    command += ["--port", str(port), "--passwords", ".", "--authenticate", ".", str(folder)]
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            index = Index(url=f"http://127.0.0.1:{port}/", folder=folder)
            _await(index, process, log)
            yield index
        finally:
            process.terminate()
            process.wait(timeout=_PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(index: Index, process: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with direct.open(index.url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the index does not answer: {log.read_text()}")
