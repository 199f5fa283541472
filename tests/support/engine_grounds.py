"""Engines for whole runs that are watched from outside: where what they run can be seen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from engine_daemons import docker_daemon, engine_running
from whole_runs import Place, wait_for


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """An engine of a test's own; `folder` holds all that its daemon keeps, empty if there is none."""

    name: str
    folder: Path | None = None

    def pids(self, place: Place) -> Iterator[Path]:
        """Processes in /proc that see a mount from this engine's or the place's folders."""
        marks = [str(place.folder), *([str(self.folder)] if self.folder else [])]
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                text = (path / "mountinfo").read_text()
                if any(mark in text for mark in marks):
                    yield path

    def runs(self, words: str, place: Place) -> bool:
        """Whether a command with these words runs in one of the run's sandboxes."""
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in line and self._is_ours(path, place):
                    return True
        return False

    def _is_ours(self, path: Path, place: Place) -> bool:
        text = (path / "mountinfo").read_text()
        return str(place.folder) in text or (self.folder is not None and str(self.folder) in text)

    def has_inside(self, name: str, place: Place) -> bool:
        """Whether a path is there in the root of one of the run's sandboxes."""
        for path in self.pids(place):
            with contextlib.suppress(OSError):
                if (path / "root" / name).exists() and not (path / "root").samefile("/"):
                    return True
        return False

    def containers(self) -> list[str]:
        """The containers and networks that the engine has."""
        match self.name:
            case "docker":
                client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"])
                found = [str(one["Id"]) for one in client.api.containers(all=True)]
                found += [str(one["Name"]) for one in client.api.networks()]
                client.close()
                return sorted(found)
            case "podman":
                found = []
                for words in (("ps", "--all", "--quiet"), ("network", "ls", "--quiet")):
                    done = subprocess.run(["podman", *words], capture_output=True, check=True)
                    found += done.stdout.decode().split()
                return sorted(found)
            case _:
                return []

    def signal_daemon(self, number: signal.Signals) -> None:
        """Signal the Docker daemon."""
        assert self.folder is not None
        os.kill(int((self.folder / "pid").read_text()), number)


@contextmanager
def engine_grounds(name: str) -> Iterator[Grounds]:
    """The engine `name` for this process and its children; a daemon of our own for docker."""
    if name == "bubblewrap":
        yield Grounds(name=name)
    elif name == "docker":
        with (
            tempfile.TemporaryDirectory(prefix="grounds-", ignore_cleanup_errors=True) as folder,
            pytest.MonkeyPatch.context() as patch,
            docker_daemon(Path(folder)) as address,
        ):
            patch.setenv("DOCKER_HOST", address)
            yield Grounds(name=name, folder=Path(folder))
    else:
        with engine_running(name):
            storage = Path(os.environ["CONTAINERS_STORAGE_CONF"])
            yield Grounds(name=name, folder=storage.parent)
            wait_for(lambda: True)
