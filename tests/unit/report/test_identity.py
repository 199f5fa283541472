"""Proofs signed by an identity.

Sigstore's services cannot be reached from a test, so that a stand-in takes the library's place at its
own boundary: the names, calls and errors that we use, which a test below holds against the real ones.
No signature, certificate or log entry is checked here; that is the library's.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from run_records import make_run, make_verdict, make_wheel_record
from sigstore import errors, models, oidc, sign, verify
from sigstore.dsse import Statement
from sigstore.verify import policy

from pytest_manylinux.errors import ExitCode, ProofError, SignatureError, UsageError
from pytest_manylinux.report import proof
from pytest_manylinux.report.proof import (
    Identity,
    encode_proof,
    is_bundle,
    load_trusted,
    parse_identity,
    read_proof,
    require_library,
    write_proof,
)
from pytest_manylinux.report.signing import generate_key

WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl")
RECORD = make_run([WHEEL], [make_verdict(WHEEL, "debian-12-cp311-x86_64")])
ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/a/b/.github/workflows/release.yml@refs/tags/v1"
WORD = f"sigstore:{ISSUER},{WORKFLOW}"
KIND = "application/vnd.in-toto+json"


class Library:
    """The stand-in: `identity` is who signs, `reachable` whether the services answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: C901 - small classes
        self.identity: str | None = WORKFLOW
        self.reachable = True
        library = self

        class Bundle:
            def __init__(self, content: dict[str, str]) -> None:
                self.content = content

            @classmethod
            def from_json(cls, raw: bytes | str) -> Bundle:
                try:
                    content = json.loads(raw)
                except ValueError as error:
                    raise models.InvalidBundle(str(error)) from error
                return cls(content)

            def to_json(self) -> str:
                return json.dumps(self.content)

        class Signer:
            def sign_dsse(self, input_: Statement) -> Bundle:
                payload = base64.b64encode(input_._contents).decode()
                media = "application/vnd.dev.sigstore.bundle.v0.3+json"
                who = library.identity or ""
                return Bundle({"mediaType": media, "signer": who, "payload": payload, "kind": KIND})

        class Context:
            @contextmanager
            def signer(self, token: object) -> Iterator[Signer]:
                assert token == ("token", WORKFLOW)
                yield Signer()

        class Verifier:
            @classmethod
            def production(cls) -> Verifier:
                if not library.reachable:
                    raise errors.NetworkError("no route")
                return cls()

            def verify_dsse(self, bundle: Bundle, expected: policy.Identity) -> tuple[str, bytes]:
                if bundle.content["signer"] != expected._identity:
                    raise errors.VerificationError("certificate's SANs do not match")
                return bundle.content["kind"], base64.b64decode(bundle.content["payload"])

        def trust_config() -> object:
            if not library.reachable:
                raise errors.NetworkError("no route")
            return object()

        monkeypatch.setattr(models, "Bundle", Bundle)
        monkeypatch.setattr(models, "ClientTrustConfig", SimpleNamespace(production=trust_config))
        monkeypatch.setattr(
            sign, "SigningContext", SimpleNamespace(from_trust_config=lambda _: Context())
        )
        monkeypatch.setattr(oidc, "detect_credential", lambda: library.identity)
        monkeypatch.setattr(oidc, "IdentityToken", lambda raw: ("token", raw))
        monkeypatch.setattr(verify, "Verifier", Verifier)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    return Library(monkeypatch)


@pytest.fixture
def signed(tmp_path: Path, library: Library) -> Path:
    assert library.identity
    path = tmp_path / "proof.json"
    write_proof(RECORD, path, as_myself=True)
    return path


def test_the_stand_in_has_the_shape_of_the_library() -> None:
    """Names, parameters and errors that our code relies on, as the real library has them."""

    def parameters(function: object) -> list[str]:
        return list(inspect.signature(function).parameters)  # type: ignore[arg-type]

    assert parameters(sign.SigningContext.from_trust_config) == ["trust_config"]
    assert parameters(sign.SigningContext.signer)[:2] == ["self", "identity_token"]
    assert parameters(sign.Signer.sign_dsse) == ["self", "input_"]
    assert parameters(oidc.IdentityToken)[0] == "raw_token"
    assert all(
        p.default is not p.empty for p in inspect.signature(oidc.detect_credential).parameters.values()
    )
    assert parameters(models.Bundle.from_json) == ["raw"]
    assert parameters(models.Bundle.to_json) == ["self"]
    assert callable(models.ClientTrustConfig.production)
    assert callable(verify.Verifier.production)
    assert parameters(verify.Verifier.verify_dsse) == ["self", "bundle", "policy"]
    assert parameters(policy.Identity) == ["identity", "issuer"]
    for error in (errors.NetworkError, errors.VerificationError, models.InvalidBundle):
        assert issubclass(error, errors.Error)
    assert not issubclass(models.InvalidBundle, errors.VerificationError)


def test_the_real_library_takes_a_proof_for_a_statement() -> None:
    assert Statement(encode_proof(RECORD))._contents == encode_proof(RECORD)


def test_the_real_library_calls_a_damaged_bundle_so(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text('{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}')
    with pytest.raises(SignatureError, match="damaged bundle"):
        read_proof(path, keys=[load_trusted(WORD)])


def test_what_an_identity_signed_is_read_where_that_identity_is_trusted(signed: Path) -> None:
    proof = read_proof(signed, keys=[load_trusted(WORD)])
    assert proof.signed_by == (WORD,)
    assert proof.record.wheels[0].sha256 == WHEEL.sha256


def test_another_identity_is_refused(signed: Path) -> None:
    with pytest.raises(SignatureError, match="signature does not fit") as caught:
        read_proof(signed, keys=[load_trusted(f"sigstore:{ISSUER},somebody@example.org")])
    assert caught.value.exit_code is ExitCode.BAD_SIGNATURE
    assert "SANs do not match" in caught.value.why


def test_one_of_several_is_enough(signed: Path) -> None:
    other = load_trusted(f"sigstore:{ISSUER},somebody@example.org")
    assert read_proof(signed, keys=[other, load_trusted(WORD)]).signed_by == (WORD,)


def test_a_key_says_nothing_of_an_identity(signed: Path, tmp_path: Path) -> None:
    key = generate_key(tmp_path / "key", tmp_path / "key.pub")
    for keys in ((), (key,)):
        with pytest.raises(SignatureError, match="none is given to expect"):
            read_proof(signed, keys=keys)


def test_an_unsigned_proof_is_refused_where_an_identity_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    write_proof(RECORD, path)
    with pytest.raises(SignatureError, match="not signed"):
        read_proof(path, keys=[load_trusted(WORD)])


def test_something_else_in_the_bundle_is_refused(signed: Path) -> None:
    content = json.loads(signed.read_text())
    signed.write_text(json.dumps({**content, "kind": "text/plain"}))
    with pytest.raises(SignatureError, match="something else"):
        read_proof(signed, keys=[load_trusted(WORD)])


def test_out_of_reach_is_not_proven_rather_than_forged(signed: Path, library: Library) -> None:
    library.reachable = False
    with pytest.raises(ProofError, match="cannot be checked here") as caught:
        read_proof(signed, keys=[load_trusted(WORD)])
    assert caught.value.exit_code is ExitCode.NOT_PROVEN
    with pytest.raises(ProofError, match="did not sign"):
        write_proof(RECORD, signed, as_myself=True)


def test_without_an_identity_nothing_is_signed(library: Library, tmp_path: Path) -> None:
    library.identity = None
    with pytest.raises(UsageError, match="no identity here"):
        write_proof(RECORD, tmp_path / "proof.json", as_myself=True)
    assert not (tmp_path / "proof.json").exists()


def test_a_key_and_an_identity_are_too_much(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        write_proof(RECORD, tmp_path / "proof.json", sign_key=tmp_path / "key", as_myself=True)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleType | None:
        return None if name == "sigstore" else sys.modules.get(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(UsageError) as caught:
        require_library()
    assert "pytest-manylinux[sigstore]" in caught.value.remedy


@pytest.mark.parametrize("word", ["sigstore:", "sigstore:https://a", "sigstore:a,b", "sigstore:,b"])
def test_half_an_identity_is_none(word: str) -> None:
    with pytest.raises(UsageError, match="no identity"):
        load_trusted(word)


def test_an_identity_is_shown_as_it_is_written() -> None:
    assert parse_identity(WORD) == Identity(ISSUER, WORKFLOW)
    assert parse_identity(WORD).source == WORD


def test_a_bundle_is_told_from_a_statement_that_speaks_of_one(signed: Path) -> None:
    assert is_bundle(signed.read_bytes())
    assert not is_bundle(encode_proof(RECORD))
    assert not is_bundle(b'{"_type": "application/vnd.dev.sigstore.bundle"}')
    assert not is_bundle(b"")
    assert proof.PAYLOAD_TYPE == KIND
