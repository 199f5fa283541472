from __future__ import annotations

import shutil
import socket
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from daemon_stand_in import Answers, UnixServer, serving
from sandboxes import OWN, eventually, processes_with

from pytest_manylinux.engines.container import connection
from pytest_manylinux.engines.container.connection import PodmanService, connect_podman
from pytest_manylinux.errors import EngineError


@pytest.mark.parametrize("ends", ["at once", "when told"])
def test_the_end_of_a_service_is_no_news(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ends: str
) -> None:
    """Whatever its program does, nothing is said on the user's terminal, and nothing stays."""
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\n{'exit 1' if ends == 'at once' else 'exec sleep 1000'}\n")
    program.chmod(0o755)
    service = PodmanService(str(program))
    folder = service._folder
    time.sleep(0.1)
    service.close()
    assert capfd.readouterr() == ("", "")
    assert not folder.exists()
    assert processes_with(str(folder)) == []


def test_a_service_leaves_files_in_its_own_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\n: > oom\nexec sleep 1000\n")
    program.chmod(0o755)
    service = PodmanService(str(program))
    try:
        assert eventually((service._folder / "oom").exists)
    finally:
        service.close()
    assert list(project.iterdir()) == []


def test_a_service_has_a_socket_where_temporary_folders_have_long_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path may have 107 bytes."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    service = PodmanService(str(program))
    folder = service._folder
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(service.address.removeprefix("unix://"))
    finally:
        service.close()
    assert not folder.exists()
    assert list(deep.iterdir()) == []


def test_no_place_for_a_socket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LONGEST_SOCKET", 10)
    with pytest.raises(EngineError, match="no place for the socket"):
        PodmanService("podman")


# A user without root's rights has Podman start itself again in a user namespace, and wait for that.
TWO = f"#!/bin/sh\ntrap 'exit 0' TERM\nsh -c ': in two; exec sleep 4251.5{OWN}' & wait\n"
LOG = """\
time="2026-01-01T00:00:00Z" level=warning msg="\\"/\\" is not a shared mount"
cannot clone: No space left on device
time="2026-01-01T00:00:00Z" level=error msg="invalid \\"status\\""
"""


def test_a_service_of_two_processes_ends_whole(tmp_path: Path) -> None:
    program = tmp_path / "podman"
    program.write_text(TWO)
    program.chmod(0o755)
    service = PodmanService(str(program))
    assert eventually(lambda: processes_with(f"sleep 4251.5{OWN}") != [])
    service.close()
    assert processes_with(f"sleep 4251.5{OWN}") == []


def test_a_service_that_ends_is_not_waited_for_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_text(LOG)
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\ncat {tmp_path / 'log'}; exit 125\n")
    program.chmod(0o755)
    monkeypatch.setattr(connection, "_podman_addresses", lambda: iter(()))
    monkeypatch.setattr(connection, "_SERVICE_START", float("inf"))
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))
    with pytest.raises(EngineError) as caught:
        connect_podman(tmp_path / "no-settings-that-forbid")
    assert caught.value.why == 'cannot clone: No space left on device\ninvalid "status"'


def test_warnings_are_told_where_there_is_nothing_else() -> None:
    assert connection.told(LOG.splitlines()[0]) == '"/" is not a shared mount'
    assert connection.told("") == ""


@pytest.mark.parametrize(
    ("said", "asked", "spoken"),
    [({"API-Version": "1.40"}, ["/_ping"], "1.40"), ({}, ["/_ping", "/version"], "1.41")],
    ids=["in its answer to a ping", "only when asked for it"],
)
def test_the_version_of_the_api_is_had_from_a_ping(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, str],
    asked: list[str],
    spoken: str,
) -> None:
    """Podman looks for the packages of its programs when it is asked for its version."""
    paths: list[str] = []

    class Service(Answers):
        def body(self) -> bytes:
            paths.append(self.path)
            return b"OK" if self.path == "/_ping" else b'{"ApiVersion": "1.41"}'

        def headers_besides(self) -> dict[str, str]:
            return said

    path = str(tmp_path / "podman.sock")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{path}")
    with serving(UnixServer(path, Service)):
        client, service = connect_podman()
        with closing(client):
            assert (client.api.api_version, service, paths) == (spoken, None, asked)
