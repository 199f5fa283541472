"""A real image registry on loopback: Debian's `docker-registry`, with a login if one is wanted."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "someone", "sesame"
_HASHED = "$2b$04$Gazkm4HNceY6pKvwYSsGpu061A4N6hBlXuhFC2OduNc.Cir9PhFQu"  # bcrypt of PASSWORD
_CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: "{address}"}}
"""
_LOGIN = 'auth: {{htpasswd: {{realm: loopback, path: "{folder}/htpasswd"}}}}\n'


@contextmanager
def registry_running(folder: Path, *, login: bool = False) -> Iterator[str]:
    """Serve until the end; gives the address. With `login` it wants USER and PASSWORD."""
    if shutil.which("docker-registry") is None:
        pytest.fail("docker-registry is missing: apt-get install docker-registry")
    address = f"127.0.0.1:{free_port()}"
    config = _CONFIG + (_LOGIN if login else "")
    (folder / "registry.yml").write_text(config.format(folder=folder, address=address))
    (folder / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log
        )
    try:
        _await(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def log_in(config: Path, address: str) -> None:
    """Write what `docker login` writes into the folder `config` (DOCKER_CONFIG)."""
    config.mkdir(exist_ok=True)
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {address: {"auth": secret}}}))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    for _ in range(300):
        assert process.poll() is None, "docker-registry does not start"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    pytest.fail("docker-registry does not answer")
