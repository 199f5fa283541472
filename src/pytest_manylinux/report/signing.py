"""Signed proofs: DSSE envelopes with Ed25519 keys (https://github.com/secure-systems-lab/dsse).

Keys are PEM files as openssl makes them: `openssl genpkey -algorithm ed25519`. A key's id is the
SHA-256 of its public half, as securesystemslib forms it.
"""

from __future__ import annotations

import binascii
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.errors import SignatureError, UsageError

# in-toto's media type for statements in DSSE envelopes.
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PASSPHRASE_VARIABLE = "PYTEST_MANYLINUX_SIGN_PASSPHRASE"  # noqa: S105 - a name, no secret
_MAKE_KEY = "make one: pytest-manylinux proof keygen FILE"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that a signature may be checked with, and where it came from."""

    key: SSlibKey
    source: str

    @property
    def id(self) -> str:
        """The key's id, as envelopes carry it."""
        return str(self.key.keyid)


def load_public_key(path: Path) -> PublicKey:
    """Read a public Ed25519 key from a PEM file; raises UsageError for anything else."""
    try:
        key = serialization.load_pem_public_key(_read_key(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: no public key in PEM form", remedy=_MAKE_KEY) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: not an Ed25519 key", remedy=_MAKE_KEY)
    return PublicKey(SSlibKey.from_crypto(key), str(path))


def load_private_key(path: Path) -> CryptoSigner:
    """Read a private Ed25519 key; its passphrase, if any, comes from the environment."""
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    try:
        key = serialization.load_pem_private_key(
            _read_key(path), passphrase.encode() if passphrase else None
        )
    except TypeError as error:
        raise UsageError(
            f"{path}: the key's passphrase is missing, or given for a key that has none",
            remedy=f"set or unset {PASSPHRASE_VARIABLE}",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path}: no private key in PEM form, or a wrong passphrase", remedy=_MAKE_KEY
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key", remedy=_MAKE_KEY)
    return CryptoSigner(key)


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: the key cannot be read", why=error.strerror or str(error), remedy=_MAKE_KEY
        ) from error


def generate_key(private: Path, public: Path) -> PublicKey:
    """Make a key pair. The private file is readable by its owner only; neither is overwritten."""
    for path in (private, public):
        if path.exists():
            raise UsageError(f"{path} exists already", remedy="name another file, or remove it")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"{private} cannot be written", why=error.strerror or str(error)) from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(secret)
    write_atomically(
        public,
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return load_public_key(public)


def sign(payload: bytes, signer: CryptoSigner) -> bytes:
    """An envelope around the payload, as JSON."""
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signatures={})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=1).encode() + b"\n"


def open_envelope(content: bytes, keys: Sequence[PublicKey]) -> tuple[bytes, tuple[str, ...]]:
    """The payload and the ids of the keys that signed it: at least one of `keys`.

    Raises SignatureError otherwise, and for an envelope that is damaged or holds something else.
    """
    try:
        envelope = Envelope.from_dict(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise SignatureError("a damaged envelope around the proof", why=str(error)) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise SignatureError(
            "the envelope holds something else than a proof",
            why=f"its payload type is {envelope.payload_type!r}",
        )
    if not keys:
        raise SignatureError(
            "the proof is signed, and no key is given to check its signature with",
            remedy="name the public key: --signed-by FILE, or `signed-by` in the gate's settings",
        )
    accepted = _accepted(envelope, keys)
    if not accepted:
        raise SignatureError(
            "the proof's signature does not fit",
            why="it was changed after it was signed, or signed with another key than "
            + " or ".join(key.source for key in keys),
        )
    return bytes(envelope.payload), accepted


def _accepted(envelope: Envelope, keys: Sequence[PublicKey]) -> tuple[str, ...]:
    try:
        return tuple(envelope.verify([key.key for key in keys], threshold=1))
    except (VerificationError, ValueError):
        return ()
