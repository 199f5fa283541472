"""Which Docker daemon is spoken to: the one that the program `docker` would take."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from daemon_stand_in import Answers, UnixServer, serving

from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.errors import EngineError


class Daemon(Answers):
    """Says its version, which is all that a connection asks for."""

    def body(self) -> bytes:
        return json.dumps({"ApiVersion": "1.41", "Version": "20.10.24"}).encode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "d.sock"
    with serving(UnixServer(str(path), Daemon)):
        yield f"unix://{path}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration: a folder of the test's own, and nothing in the environment."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def write_context(config: Path, name: str, host: str, *, current: bool = False) -> Path:
    """What `docker context create` writes, and `docker context use`."""
    folder = config / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    (folder / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    )
    (config / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))
    return folder


def answers() -> bool:
    client = connect_docker()
    try:
        return str(client.api.version()["Version"]) == "20.10.24"
    finally:
        client.close()


NOWHERE = "unix:///nowhere/docker.sock"


def test_docker_host_wins(config: Path, daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_context(config, "other", NOWHERE, current=True)
    monkeypatch.setenv("DOCKER_HOST", daemon)
    monkeypatch.setenv("DOCKER_CONTEXT", "no-such-context")
    assert answers()


def test_the_named_context_wins_over_the_current_one(
    config: Path, daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_context(config, "mine", daemon)
    write_context(config, "other", NOWHERE, current=True)
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert answers()


def test_the_current_context_is_taken(config: Path, daemon: str) -> None:
    write_context(config, "mine", daemon, current=True)
    assert answers()


@pytest.mark.parametrize(
    ("named", "why"), [(True, "DOCKER_CONTEXT names it"), (False, "as the current one")]
)
def test_a_context_that_is_not_there_is_no_other_daemon(
    config: Path, monkeypatch: pytest.MonkeyPatch, why: str, *, named: bool
) -> None:
    if named:
        monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    else:
        (config / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(EngineError, match="has no context 'gone'") as caught:
        connect_docker()
    assert why in caught.value.why


def test_a_damaged_context_is_told(config: Path) -> None:
    (write_context(config, "mine", NOWHERE, current=True) / "meta.json").write_text("{")
    with pytest.raises(EngineError, match="context 'mine' cannot be read"):
        connect_docker()


def test_a_daemon_that_does_not_answer(config: Path) -> None:
    write_context(config, "mine", NOWHERE, current=True)
    with pytest.raises(EngineError, match="does not answer"):
        connect_docker()


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A daemon that takes callers with a certificate only; its address, and the folder with one."""
    folder = make_certificates(tmp_path / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = HTTPServer(("127.0.0.1", 0), Daemon)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"tcp://127.0.0.1:{server.server_port}", folder


def test_tls_by_the_environment(
    config: Path, secured: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = secured
    assert not list(config.iterdir())
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    assert answers()


def test_tls_by_the_context(config: Path, secured: tuple[str, Path]) -> None:
    address, folder = secured
    meta = write_context(config, "mine", address, current=True)
    keys = config / "contexts/tls" / meta.name / "docker"
    keys.mkdir(parents=True)
    for path in folder.iterdir():
        (keys / path.name).write_bytes(path.read_bytes())
    assert answers()


def make_certificates(folder: Path) -> Path:
    """One self-signed certificate that is authority, server and client at once."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(tz=timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    for file in ("ca.pem", "cert.pem"):
        (folder / file).write_bytes(text)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder
