"""The Docker daemons that tests start, beside the machine's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SUPPORT = Path(__file__).parents[1] / "support"
BESIDE_A_BRIDGE = """
import fcntl, socket, sys, tempfile
from pathlib import Path
from engine_daemons import docker_daemon

SIOCBRADDBR = 0x89A0  # linux/sockios.h
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCBRADDBR, b"docker0\\0")
before = socket.if_nameindex()
with docker_daemon(Path(sys.argv[1])):
    assert socket.if_nameindex() == before
assert socket.if_nameindex() == before
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user starts no Docker daemon")
def test_the_bridge_of_the_machines_own_daemon_stays(tmp_path: Path) -> None:
    """In a network of its own: on the machine's, whoever runs this would lose theirs."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", BESIDE_A_BRIDGE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
