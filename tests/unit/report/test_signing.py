from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path

import pytest
from run_records import make_run, make_verdict, make_wheel_record

from pytest_manylinux.errors import ExitCode, SignatureError, UsageError
from pytest_manylinux.report.proof import encode_proof, read_proof, write_proof
from pytest_manylinux.report.signing import (
    PASSPHRASE_VARIABLE,
    PublicKey,
    generate_key,
    load_private_key,
    load_public_key,
    sign,
)

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl")
RECORD = make_run([WHEEL], [make_verdict(WHEEL, "debian-12-cp311-x86_64")])


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    return generate_key(tmp_path / "key", tmp_path / "key.pub")


@pytest.fixture
def signed(tmp_path: Path, key: PublicKey) -> Path:
    path = tmp_path / "proof.json"
    write_proof(RECORD, path, sign_key=Path(key.source).with_suffix(""))
    return path


def test_a_signed_proof_is_a_dsse_envelope_around_the_statement(signed: Path, key: PublicKey) -> None:
    envelope = json.loads(signed.read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(envelope["payload"]) == encode_proof(RECORD)
    assert [signature["keyid"] for signature in envelope["signatures"]] == [key.id]


def test_the_right_key_opens_it(signed: Path, key: PublicKey) -> None:
    proof = read_proof(signed, keys=[key])
    assert proof.signed_by == (key.id,)
    assert proof.record.wheels[0].sha256 == WHEEL.sha256


def test_any_of_the_trusted_keys_will_do(signed: Path, key: PublicKey, tmp_path: Path) -> None:
    other = generate_key(tmp_path / "other", tmp_path / "other.pub")
    assert read_proof(signed, keys=[other, key]).signed_by == (key.id,)


def test_another_key_does_not(signed: Path, tmp_path: Path) -> None:
    other = generate_key(tmp_path / "other", tmp_path / "other.pub")
    with pytest.raises(SignatureError, match="signature does not fit") as caught:
        read_proof(signed, keys=[other])
    assert caught.value.exit_code is ExitCode.BAD_SIGNATURE


def test_an_edited_payload_does_not_fit(signed: Path, key: PublicKey) -> None:
    envelope = json.loads(signed.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(
        b'"engine": "bubblewrap"', b'"engine": "none"'
    )
    envelope["payload"] = base64.b64encode(payload).decode()
    signed.write_text(json.dumps(envelope))
    with pytest.raises(SignatureError, match="signature does not fit"):
        read_proof(signed, keys=[key])


def test_a_signature_says_nothing_without_a_key(signed: Path) -> None:
    with pytest.raises(SignatureError, match="no key is given"):
        read_proof(signed)


def test_where_a_signature_is_required_an_unsigned_proof_is_refused(
    tmp_path: Path, key: PublicKey
) -> None:
    path = tmp_path / "unsigned.json"
    write_proof(RECORD, path)
    with pytest.raises(SignatureError, match="not signed, and a signature is required"):
        read_proof(path, keys=[key])


@pytest.mark.parametrize(
    "change",
    [
        {"payload": "%%%"},
        {"payload": None},
        {"signatures": []},
        {"signatures": [{"keyid": "x"}]},
        {"signatures": [{"keyid": "x", "sig": "AAAA"}]},
        {"signatures": "none"},
        {"payloadType": "text/plain"},
        {"payloadType": 3},
    ],
)
def test_a_damaged_envelope_is_refused(signed: Path, key: PublicKey, change: dict[str, object]) -> None:
    signed.write_text(json.dumps({**json.loads(signed.read_text()), **change}))
    with pytest.raises(SignatureError):
        read_proof(signed, keys=[key])


def test_a_signature_over_another_payload_type_is_refused(tmp_path: Path, key: PublicKey) -> None:
    from securesystemslib.dsse import Envelope  # noqa: PLC0415

    signer = load_private_key(Path(key.source).with_suffix(""))
    envelope = Envelope(encode_proof(RECORD), "application/x-other", {})
    envelope.sign(signer)
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(envelope.to_dict()))
    with pytest.raises(SignatureError, match="something else"):
        read_proof(path, keys=[key])


def test_a_signed_forgery_of_sense_is_still_checked_for_its_seal(
    tmp_path: Path, key: PublicKey
) -> None:
    forged = encode_proof(RECORD).replace(b'"engine": "bubblewrap"', b'"engine": "none"')
    path = tmp_path / "proof.json"
    path.write_bytes(sign(forged, load_private_key(Path(key.source).with_suffix(""))))
    with pytest.raises(SignatureError, match="changed after it was written"):
        read_proof(path, keys=[key])


@pytest.mark.usefixtures("key")
def test_a_new_key_is_its_owners_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="exists already"):
        generate_key(tmp_path / "key", tmp_path / "new.pub")


def test_keys_of_openssl_work(tmp_path: Path) -> None:
    private, public, path = tmp_path / "k.pem", tmp_path / "k.pub", tmp_path / "proof.json"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    write_proof(RECORD, path, sign_key=private)
    assert read_proof(path, keys=[load_public_key(public)]).signed_by


def test_a_key_with_a_passphrase_takes_it_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "k.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:open"]
    subprocess.run([*command, "-out", private], check=True)
    with pytest.raises(UsageError, match="passphrase is missing"):
        load_private_key(private)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "wrong")
    with pytest.raises(UsageError, match="wrong passphrase"):
        load_private_key(private)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "open")
    load_private_key(private)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*command, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        load_private_key(private)
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        load_public_key(public)


@pytest.mark.parametrize("load", [load_private_key, load_public_key])
def test_what_is_no_key_is_refused(tmp_path: Path, load: object) -> None:
    assert callable(load)
    path = tmp_path / "key"
    with pytest.raises(UsageError, match="cannot be read"):
        load(path)
    path.write_text("no key")
    with pytest.raises(UsageError, match="in PEM form"):
        load(path)
