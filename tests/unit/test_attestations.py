"""PEP 740 attestations at the gate and in the upload: only of the bytes that the proof covers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pypi_attestations import AttestationType
from run_records import make_run, make_verdict, make_wheel_record
from upload_cases import metadata
from wheels import build_wheel

from pytest_manylinux.artifacts import ArtifactKind, read_artifact
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report import proof
from pytest_manylinux.report.proof import write_proof

NONE = "no attestation of PEP 740"
OTHER = "other-1.0-py3-none-any.whl"
TARGET = "debian-12-cp311-x86_64"


def attestation(name: str, sha256: str, **changes: Any) -> bytes:  # noqa: ANN401
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": AttestationType.PYPI_PUBLISH_V1.value,
        "predicate": None,
    }
    encoded = base64.b64encode(json.dumps(statement).encode()).decode()
    data = {
        "version": 1,
        "verification_material": {"certificate": "AA==", "transparency_entries": [{}]},
        "envelope": {"statement": encoded, "signature": "AA=="},
    }
    return json.dumps(data | changes).encode()


@dataclass(kw_only=True)
class Folder:
    """A wheel in dist/ with its proof; `attest` writes an attestation of it, true or not."""

    wheel: Path
    proof: Path

    @property
    def sha256(self) -> str:
        return read_artifact(self.wheel).sha256

    def attest(self, content: bytes | None = None, *, of: str = "") -> Path:
        name = of or self.wheel.name
        path = self.wheel.with_name(f"{name}.publish.attestation")
        path.write_bytes(content or attestation(name, self.sha256))
        return path

    def run(self, command: str, *options: str) -> int:
        return main([command, str(self.wheel.parent), f"--proof={self.proof}", *options])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    wheel = build_wheel(tmp_path / "dist", {"demo.py": ""}, metadata=metadata())
    record = make_wheel_record(wheel.name, wheel.read_bytes())
    verdicts = [make_verdict(record, "audit"), make_verdict(record, TARGET)]
    write_proof(make_run([record], verdicts), tmp_path / "proof.json")
    return Folder(wheel=wheel, proof=tmp_path / "proof.json")


def test_an_attestation_of_the_proven_bytes_is_allowed(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder.attest()
    artifact = read_artifact(path)
    assert (artifact.kind, artifact.attests) == (ArtifactKind.ATTESTATION, folder.wheel.name)
    assert folder.run("gate", "--explain") == ExitCode.OK
    out = capsys.readouterr().out
    assert f"allowed: {path}" in out
    assert f"+ an attestation of the bytes of {folder.wheel.name}" in out


UNSOUND: dict[str, tuple[Callable[[Folder], bytes], str]] = {
    "other bytes": (lambda f: attestation(f.wheel.name, "0" * 64), "of other bytes than"),
    "another file": (
        lambda f: attestation("other-1.0-py3-none-any.whl", f.sha256),
        "it is about other-1.0",
    ),
    "not JSON": (lambda _: b"x", NONE),
    "another version": (
        lambda f: attestation(f.wheel.name, f.sha256, version=2),
        NONE,
    ),
    "no statement": (
        lambda f: attestation(f.wheel.name, f.sha256, envelope={}),
        NONE,
    ),
    "not base64": (
        lambda f: attestation(f.wheel.name, f.sha256, envelope={"statement": "*"}),
        NONE,
    ),
    "a list": (lambda _: b"[]", NONE),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_any_other_attestation_is_refused(
    name: str, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = UNSOUND[name]
    folder.attest(make(folder))
    assert folder.run("gate") == ExitCode.NOT_PROVEN
    assert words in capsys.readouterr().out


def test_an_attestation_of_a_file_that_is_not_there_is_refused(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.attest(of="gone-1.0-py3-none-any.whl")
    assert folder.run("gate") == ExitCode.NOT_PROVEN
    assert "gone-1.0-py3-none-any.whl is not among the files" in capsys.readouterr().out


@dataclass
class Index:
    """An index on loopback that takes all and keeps what it was sent."""

    url: str
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def index() -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen = Index(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield seen
        server.shutdown()
        thread.join()


def upload(folder: Folder, index: Index, *options: str) -> int:
    twine = (f"--repository-url={index.url}", "--username=a", "--password=b", "--disable-progress-bar")
    return folder.run("upload", *options, *(f"--twine={word}" for word in twine))


@pytest.mark.parametrize("flag", ["--attestations", "--twine=--attestations"])
def test_attestations_are_sent_along_if_asked_for(flag: str, folder: Folder, index: Index) -> None:
    folder.attest()
    assert upload(folder, index, flag) == ExitCode.OK
    (body,) = index.bodies
    assert b'name="attestations"' in body
    statement = json.loads(folder.attest().read_bytes())["envelope"]["statement"]
    assert statement.encode() in body


def test_attestations_that_nobody_asked_for_stay_and_it_is_said(
    folder: Folder, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.attest()
    assert upload(folder, index) == ExitCode.OK
    assert b'name="attestations"' not in index.bodies[0]
    assert "--attestations does it" in capsys.readouterr().err


def test_a_file_without_an_attestation_is_told_before_anything_is_sent(
    folder: Folder, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upload(folder, index, "--attestations") == ExitCode.USAGE
    assert index.bodies == []
    assert f"no attestation of {folder.wheel.name}" in capsys.readouterr().err


def test_an_attestation_of_other_bytes_stops_the_upload(folder: Folder, index: Index) -> None:
    folder.attest(attestation(folder.wheel.name, "0" * 64))
    assert upload(folder, index, "--attestations") == ExitCode.NOT_PROVEN
    assert index.bodies == []


def test_attestations_are_made_of_the_proven_bytes_with_the_jobs_identity(
    folder: Folder, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is in sigstore's form (v0.3); its services are not asked."""

    def sign(payload: bytes) -> bytes:
        bundle = {
            "verificationMaterial": {
                "certificate": {"rawBytes": "Y2VydA=="},
                "tlogEntries": [{"logIndex": "7"}],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": "c2ln"}],
            },
        }
        return json.dumps(bundle).encode()

    monkeypatch.setattr(proof, "sign_as_myself", sign)
    assert upload(folder, index, "--attest") == ExitCode.OK
    (body,) = index.bodies
    sent = json.loads(body.split(b'name="attestations"\r\n\r\n')[1].split(b"\r\n--")[0])
    assert sent[0]["verification_material"] == {
        "certificate": "Y2VydA==",
        "transparency_entries": [{"logIndex": "7"}],
    }
    assert sent[0]["envelope"]["signature"] == "c2ln"
    statement = json.loads(base64.b64decode(sent[0]["envelope"]["statement"]))
    subject = {"name": folder.wheel.name, "digest": {"sha256": folder.sha256}}
    assert (statement["subject"], statement["predicateType"]) == (
        [subject],
        AttestationType.PYPI_PUBLISH_V1.value,
    )
    assert not list(folder.wheel.parent.glob("*.attestation"))  # the user's folder is only read


def test_without_an_identity_nothing_is_sent(
    folder: Folder, index: Index, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "GITHUB_ACTIONS",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "GITLAB_CI",
        "CIRCLECI",
        "BUILDKITE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    assert upload(folder, index, "--attest") == ExitCode.USAGE
    assert index.bodies == []
    assert "no identity here" in capsys.readouterr().err
